import type { HostFingerprintSchema } from "@aerodb/rpc/aerodb/control/v1/fingerprint_pb.js";
import type { HostSchema } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HostFingerprint } from "../app/host-facts.ts";
import type { Host } from "../app/hosts.ts";

export function encodeHost(
  host: Host,
  fingerprint?: HostFingerprint,
): MessageInitShape<typeof HostSchema> {
  return {
    hostId: host.id,
    name: host.name,
    region: host.region,
    connected: host.connected,
    ...(host.lastSeenAt === undefined ? {} : { lastSeenAt: encodeTime(host.lastSeenAt) }),
    agentVersion: host.agentVersion,
    capacity: encodeResources(host.capacity),
    reserved: encodeResources(host.reserved),
    engines: [...host.engines],
    instances: host.instances,
    tenants: host.tenants,
    capabilities: [...host.capabilities],
    ...(fingerprint && { fingerprint: encodeFingerprint(fingerprint) }),
    labels: host.labels,
    ...(host.revokedAt === null ? {} : { revokedAt: encodeTime(host.revokedAt) }),
    revokedReason: host.revokedReason,
    ...(host.clockOffsetMs === null ? {} : { clockOffsetMs: host.clockOffsetMs }),
  };
}

function encodeResources(resources: Host["capacity"]) {
  return {
    memoryMib: BigInt(resources.memoryMiB),
    cpuMillis: BigInt(resources.cpuMillis),
    storageMib: BigInt(resources.storageMiB),
  };
}

function encodeFingerprint(
  fingerprint: HostFingerprint,
): MessageInitShape<typeof HostFingerprintSchema> {
  const { memoryMiB, controlGroups, docker, ...facts } = fingerprint;
  return {
    ...facts,
    memoryMib: BigInt(memoryMiB),
    foundEngines: [...facts.foundEngines],
    fileSystems: facts.fileSystems.map(({ sizeMiB, freeMiB, holds, ...fileSystem }) => ({
      ...fileSystem,
      holds: [...holds],
      sizeMib: BigInt(sizeMiB),
      freeMib: BigInt(freeMiB),
    })),
    volumeMeans: [...facts.volumeMeans],
    hardLimits: [...facts.hardLimits],
    namespaces: [...facts.namespaces],
    ...(controlGroups && {
      controlGroups: { ...controlGroups, controllers: [...controlGroups.controllers] },
    }),
    ...(docker && { docker }),
  };
}
