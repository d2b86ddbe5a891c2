/** How large the walls around an instance are, from what its plan promises. Pure. */
import { backendMemoryMiB, LEAST_BACKEND_MIB } from "@aerodb/postgres";
import type { InstanceSpec } from "../instance-spec.ts";

/** What a control group is told. */
export interface GroupLimits {
  /** The most processor time, in thousandths of a core. */
  readonly cpuQuotaMillis: number;
  /** Its part of the processor when others want it too. */
  readonly cpuWeightMillis: number;
  readonly memoryBytes: number;
  readonly processes: number;
}

const MIB = 2 ** 20;
/** Under this a connection alone uses up its period, and waits for the next. */
const LEAST_QUOTA_MILLIS = 500;
const QUOTA_PER_PROMISE = 2;
/** Least room over what Postgres is sized to: its processes' own memory, and files in the cache. */
const LEAST_HEADROOM_MIB = 64;
const HEADROOM_PART = 4;
/** What a session that does little has of its own: 2 MB after an insert, more with many tables. */
const SESSION_MIB = 3;
/** Proving takes more the more tenants there are; and nobody's tables must keep others unproven. */
const PLATFORM_PART = 2;
/** The platform's sessions, the server's own processes, workers, and room for what takes over. */
const OTHER_PROCESSES = 48;

export function groupLimitsOf(spec: InstanceSpec): GroupLimits {
  const { cpuMillis, memoryMiB, maxConnections, pidsLimit } = spec;
  const headroomMiB = Math.max(
    LEAST_HEADROOM_MIB,
    Math.ceil(memoryMiB / HEADROOM_PART),
    SESSION_MIB * maxConnections,
  );
  return {
    cpuQuotaMillis: Math.max(cpuMillis * QUOTA_PER_PROMISE, LEAST_QUOTA_MILLIS),
    cpuWeightMillis: Math.max(cpuMillis, 1),
    memoryBytes: (memoryMiB + headroomMiB) * MIB,
    processes: pidsLimit > 0 ? pidsLimit : maxConnections + OTHER_PROCESSES,
  };
}

/**
 * What one process of the server may have of memory of its own. A query that wants more gets the
 * error "out of memory", where the group's limit would end the whole server.
 */
export function backendMemoryBytes(spec: InstanceSpec): number {
  return backendMemoryMiB(spec) * MIB;
}

/** Likewise of a session of the platform in a shared instance. */
export function platformMemoryBytes({ memoryMiB }: InstanceSpec): number {
  return Math.max(LEAST_BACKEND_MIB, Math.floor(memoryMiB / PLATFORM_PART)) * MIB;
}
