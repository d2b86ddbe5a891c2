/** Facts the agent finds out about its host: tried where that can be done, not guessed. */
import {
  canChangeOwner,
  type Engine,
  type EngineSearch,
  findEngines,
  floorOf,
  isUnderFloor,
} from "@aerodb/postgres";
import {
  ControlGroupsSchema,
  DockerEngineSchema,
  type Fingerprint,
  FingerprintSchema,
} from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import type { Logger } from "@aerodb/runtime";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { detectLimits } from "../limits/detect-limits.ts";
import { layoutOf } from "../storage/layout.ts";
import { detectVolumeMeans } from "../storage/volume-means.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { askDocker, type FoundDocker } from "./docker-engine.ts";
import { type HeldFileSystem, readFileSystems } from "./file-systems.ts";
import type { Findings } from "./last-findings.ts";
import {
  architectureName,
  coreCount,
  kernelName,
  memoryBytes,
  readBootId,
  readOperatingSystem,
  readProcessor,
} from "./machine.ts";
import { Prober } from "./prober.ts";

export interface FingerprintOptions {
  readonly home: string;
  readonly engineDirectory: string;
  readonly search: EngineSearch;
  /** What runs instances. */
  readonly driver: "process" | "container";
  /** Where Docker listens, if it is there. */
  readonly dockerSocket: string;
  readonly logger: Logger;
  /** How long each probe may take. */
  readonly deadlineMs?: number;
}

export interface Taken {
  readonly fingerprint: Fingerprint;
  readonly fileSystems: readonly HeldFileSystem[];
}

/** All probes run at once, so that the whole takes no longer than this and a little. */
const PROBE_MS = 1_800;

export function openProber(options: FingerprintOptions, recalled: Findings = new Map()): Prober {
  const { logger, deadlineMs = PROBE_MS } = options;
  return new Prober({ logger, deadlineMs, recalled });
}

/**
 * Never rejects: what cannot be found out is left out. With `reuse` only what is unknown so far is
 * looked for: a machine that was too busy to be known in time is not given more to do.
 */
export async function takeFingerprint(
  prober: Prober,
  options: FingerprintOptions,
  how: { readonly reuse?: boolean } = {},
): Promise<Taken> {
  const { search, driver, dockerSocket } = options;
  const { instances, run } = layoutOf(options.home);
  const places = { instances, engines: options.engineDirectory, sockets: run };
  const find = <Value>(name: string, look: () => Promise<Value>) => prober.probe(name, look, how);
  const [bootId = "", system, processor, engines, fileSystems = [], volumes, limits, docker] =
    await Promise.all([
      find("when the machine was started", readBootId),
      find("the operating system", readOperatingSystem),
      find("the processor", readProcessor),
      find("which engines there are", () => findEngines(search)),
      find("what the file systems are", () => readFileSystems(places)),
      find("what the file systems can do", () => detectVolumeMeans(instances)),
      find("what instances can be held to", () => detectLimits(options.home)),
      find("whether Docker answers", () => askDocker(dockerSocket, PROBE_MS)),
    ]);
  const sandbox = driver === "container" ? "container" : (limits?.sandbox ?? "none");
  const fingerprint = create(FingerprintSchema, {
    bootId,
    memoryBytes: memoryBytes(),
    cores: coreCount(),
    kernel: kernelName(),
    architecture: architectureName(),
    ...(system === undefined ? {} : { operatingSystem: system }),
    ...(processor === undefined ? {} : { processor }),
    engines: runnable(engines ?? [], search.production === true),
    foundEngines: (engines ?? []).map(describeEngine),
    ...describeFileSystems(fileSystems),
    volumeMeans: volumes?.volumeMeans ?? [],
    hardLimits: volumes?.hardLimits ?? [],
    ...describeLimits(limits),
    sandbox,
    ...(docker && { docker: describeDocker(docker) }),
    driver,
    capabilities: [
      ...capabilitiesOf({
        driver,
        reflink: volumes?.reflink ?? false,
        hardLimits: volumes?.hardLimits ?? [],
        controllers: limits?.controlGroups.controllers ?? [],
        sandbox,
        nftables: limits?.nftables ?? false,
        ownUsers: canChangeOwner(),
        containerLimits: docker?.limits,
      }),
    ],
  });
  return { fingerprint, fileSystems };
}

/** Versions that may be run, each once. */
function runnable(engines: readonly Engine[], production: boolean): string[] {
  const allowed = engines.filter((engine) => !production || !isUnderFloor(engine));
  return [...new Set(allowed.map(({ version }) => version))];
}

function describeEngine(engine: Engine) {
  const { version, origin } = engine;
  return { version, origin, floor: floorOf(engine) ?? "", meetsFloor: !isUnderFloor(engine) };
}

/** As the contract has them. */
export function describeFileSystems(fileSystems: readonly HeldFileSystem[]) {
  const home = fileSystems.find(({ holds }) => holds.includes("instances"));
  return {
    diskBytes: home?.sizeBytes ?? 0n,
    fileSystems: fileSystems.map(({ directory: _, holds, ...rest }) => ({
      ...rest,
      holds: [...holds],
    })),
  } satisfies MessageInitShape<typeof FingerprintSchema>;
}

function describeLimits(limits: Awaited<ReturnType<typeof detectLimits>> | undefined) {
  if (limits === undefined) return {};
  const { version, controllers } = limits.controlGroups;
  return {
    controlGroups: create(ControlGroupsSchema, { version, controllers: [...controllers] }),
    namespaces: [...limits.namespaces],
    nftables: limits.nftables,
  };
}

function describeDocker({ version, apiVersion }: FoundDocker) {
  return create(DockerEngineSchema, { version, apiVersion });
}
