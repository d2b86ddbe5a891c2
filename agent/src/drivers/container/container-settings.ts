/**
 * How a container of an instance is made: pure. Its walls do not depend on the image: no network,
 * no capabilities, nothing to write to but its own directories, and a user of its own.
 */
import type { InstanceId } from "@aerodb/model";
import { BACKEND_OOM_SCORE, type Owner, SOCKET_PORT } from "@aerodb/postgres";
import type Docker from "dockerode";
import type { InstanceSpec } from "../../instance-spec.ts";
import { backendMemoryBytes, groupLimitsOf } from "../../limits/group-limits.ts";
import type { InstancePlace } from "../../storage/layout.ts";
import { LAUNCHER_PLACE, LOG_PLACE, launchCommand } from "./launcher.ts";

/** On every container of an agent: a hash of the agent's home. */
export const AGENT_LABEL = "aerodb.agent";
export const INSTANCE_LABEL = "aerodb.instance";
const VERSION_LABEL = "aerodb.engine";

export interface ContainerPlan {
  readonly spec: InstanceSpec;
  readonly place: InstancePlace;
  readonly owner: Owner;
  readonly image: { readonly id: string; readonly version: string };
  /** Where the launcher is on this machine. */
  readonly launcher: string;
  /** Directories outside the data that the server keeps tables in. */
  readonly tablespaces: readonly string[];
  readonly agent: string;
}

const CPU_PERIOD_US = 100_000;
const US_PER_MILLI = CPU_PERIOD_US / 1_000;
const SHARES_PER_CORE = 1_024;
const LEAST_SHARES = 2;
const TMP = "rw,noexec,nosuid,nodev,size=16m,mode=1777";
/** What Docker itself keeps of a container's output: only what is said before the log is open. */
const OUTPUT_KEPT = { "max-size": "64k", "max-file": "1" };

/** Names are unique within a Docker: a second container of an instance is refused. */
export function containerName(id: InstanceId): string {
  return `aerodb-${id}`;
}

export function containerSettings(plan: ContainerPlan): Docker.ContainerCreateOptions {
  const { spec, place, owner, image, agent } = plan;
  const server = ["-D", place.data, "-k", place.socketDirectory, "-p", SOCKET_PORT.toString()];
  return {
    name: containerName(spec.id),
    Hostname: "postgres",
    Image: image.id,
    User: `${owner.uid}:${owner.gid}`,
    WorkingDir: place.data,
    Entrypoint: launchCommand(["postgres", ...server], {
      lockFile: place.lock,
      backendMemoryBytes: backendMemoryBytes(spec),
    }),
    Cmd: [],
    Env: [
      "LC_ALL=C",
      "TZ=UTC",
      "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj",
      `PG_OOM_ADJUST_VALUE=${BACKEND_OOM_SCORE}`,
    ],
    Labels: {
      [AGENT_LABEL]: agent,
      [INSTANCE_LABEL]: spec.id,
      [VERSION_LABEL]: image.version,
    },
    StopSignal: "SIGINT",
    // Health is what a query answers, which the agent asks itself.
    Healthcheck: { Test: ["NONE"] },
    HostConfig: { ...wallsOf(plan), ...containerLimits(spec) },
  };
}

function wallsOf(plan: ContainerPlan): Docker.HostConfig {
  const { place, spec } = plan;
  const own = [place.data, place.socketDirectory, place.lock, ...plan.tablespaces];
  return {
    // Before version 25, Docker removes what removes itself when it is restarted, running or not.
    AutoRemove: false,
    RestartPolicy: { Name: "no" },
    NetworkMode: "none",
    IpcMode: "private",
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges"],
    ReadonlyRootfs: true,
    Tmpfs: { "/tmp": TMP },
    ShmSize: groupLimitsOf(spec).memoryBytes,
    LogConfig: { Type: "json-file", Config: OUTPUT_KEPT },
    Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }],
    Mounts: [
      ...own.map((path) => bind(path, path)),
      bind(place.log, LOG_PLACE),
      { ...bind(plan.launcher, LAUNCHER_PLACE), ReadOnly: true },
    ],
  };
}

function bind(source: string, target: string): Docker.MountSettings {
  return { Type: "bind", Source: source, Target: target };
}

/** What can be changed while the container runs. */
export function containerLimits(spec: InstanceSpec): Docker.HostConfig {
  const limits = groupLimitsOf(spec);
  const shares = Math.round((limits.cpuWeightMillis * SHARES_PER_CORE) / 1_000);
  return {
    CpuPeriod: CPU_PERIOD_US,
    CpuQuota: limits.cpuQuotaMillis * US_PER_MILLI,
    CpuShares: Math.max(shares, LEAST_SHARES),
    Memory: limits.memoryBytes,
    // Memory and swap together: none of it is swap.
    MemorySwap: limits.memoryBytes,
    PidsLimit: limits.processes,
  };
}
