import type { InstanceId } from "@aerodb/model";

/** An instance as it should be made and run. */
export interface InstanceSpec {
  readonly id: InstanceId;
  /** Whether it holds many tenants. */
  readonly shared: boolean;
  readonly engineMajor: number;
  readonly maxConnections: number;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  /** What its tenants' data may take; 0: no limit. */
  readonly storageMiB: number;
  /** Processes it may have; 0: as many as its connections need. */
  readonly pidsLimit: number;
  /** What its tenant chose for postgresql.conf. */
  readonly settings: Readonly<Record<string, string>>;
  /**
   * Why transactions begin read-only; undefined when they do not. Never desired by control: the
   * agent's own doing, while hardly any room is left.
   */
  readonly readOnly?: string;
  /** Why its tenants' writes are refused; undefined when they are not. Likewise the agent's own. */
  readonly writesRefused?: string;
  /** Who is started first when many are to be: higher is sooner. */
  readonly importance: number;
  /** A server that was started for an older generation than this is to be restarted; 0: none is. */
  readonly restartGeneration: bigint;
}

/** What a running server was started with, or brought to since. */
export interface AppliedSpec {
  /** The `restartGeneration` that it was started for. */
  readonly startedFor: bigint;
  /** What it was sized to when it started, and keeps until it is restarted. */
  readonly startedWith: Pick<InstanceSpec, "memoryMiB" | "maxConnections">;
  /** All of the spec that a running server can be brought to, as `limitsOf` spells it. */
  readonly limits: string;
  /** Names of what waits for a restart. */
  readonly pendingRestart: readonly string[];
}

/** What a server has that is started with a spec. */
export function appliedAtStart(spec: InstanceSpec): AppliedSpec {
  const { memoryMiB, maxConnections } = spec;
  return {
    startedFor: spec.restartGeneration,
    startedWith: { memoryMiB, maxConnections },
    limits: limitsOf(spec),
    pendingRestart: [],
  };
}

/**
 * What the limits around a running server follow from: never less than it was sized to when it
 * started, for what its shared memory and its connections take is ended where it finds no room.
 */
export function heldSpec(spec: InstanceSpec, applied: AppliedSpec | undefined): InstanceSpec {
  const { memoryMiB, maxConnections } = applied?.startedWith ?? spec;
  return {
    ...spec,
    memoryMiB: Math.max(spec.memoryMiB, memoryMiB),
    maxConnections: Math.max(spec.maxConnections, maxConnections),
  };
}

/** The same text for the same limits and settings, and for no others. */
function limitsOf(spec: InstanceSpec): string {
  const { maxConnections, memoryMiB, cpuMillis, storageMiB, pidsLimit } = spec;
  const settings = Object.entries(spec.settings).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const readOnly = spec.readOnly === undefined ? {} : { readOnly: true };
  const limits = { maxConnections, memoryMiB, cpuMillis, storageMiB, pidsLimit };
  return JSON.stringify({ ...limits, settings, ...readOnly });
}

/** Whether a server that is at `applied` is to be restarted for a spec. */
export function needsRestart(spec: InstanceSpec, applied: AppliedSpec | undefined): boolean {
  return spec.restartGeneration > (applied?.startedFor ?? 0n);
}

/** Whether a server at `applied` is as a spec wants it, but for what waits for a restart. */
export function isApplied(spec: InstanceSpec, applied: AppliedSpec | undefined): boolean {
  return applied !== undefined && !needsRestart(spec, applied) && applied.limits === limitsOf(spec);
}
