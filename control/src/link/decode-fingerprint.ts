import { Fault } from "@aerodb/model";
import type { ControlGroups, Fingerprint } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import type { HostFacts } from "../app/host-facts.ts";

const MIB = 1_048_576n;

/** Throws INVALID_ARGUMENT when the agent says nothing of its host. */
export function decodeFacts(fingerprint: Fingerprint | undefined): HostFacts {
  if (fingerprint === undefined || fingerprint.bootId === "") {
    throw new Fault("INVALID_ARGUMENT", "The agent sent no fingerprint of its host.");
  }
  const { engines, capabilities, memoryBytes, controlGroups, docker, ...facts } = fingerprint;
  return {
    engines,
    capabilities,
    fingerprint: {
      bootId: facts.bootId,
      memoryMiB: inMiB(memoryBytes),
      cores: facts.cores,
      processor: facts.processor,
      architecture: facts.architecture,
      operatingSystem: facts.operatingSystem,
      kernel: facts.kernel,
      driver: facts.driver,
      foundEngines: facts.foundEngines.map(({ version, origin, floor, meetsFloor }) => {
        return { version, origin, floor, meetsFloor };
      }),
      fileSystems: facts.fileSystems.map(({ holds, type, sizeBytes, freeBytes, reflink }) => {
        return { holds, type, sizeMiB: inMiB(sizeBytes), freeMiB: inMiB(freeBytes), reflink };
      }),
      volumeMeans: facts.volumeMeans,
      hardLimits: facts.hardLimits,
      controlGroups: decodeControlGroups(controlGroups),
      namespaces: facts.namespaces,
      sandbox: facts.sandbox,
      nftables: facts.nftables,
      docker: docker && { version: docker.version, apiVersion: docker.apiVersion },
    },
  };
}

function decodeControlGroups(groups: ControlGroups | undefined) {
  if (groups === undefined || groups.version === 0) return undefined;
  return { version: groups.version, controllers: groups.controllers };
}

function inMiB(bytes: bigint): number {
  return Number(bytes / MIB);
}
