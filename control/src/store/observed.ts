import type { IsolationProof } from "./isolation-proofs.ts";

/** What agents see. Reports may come late and twice: each writes only what is news. */
export type InstanceState = "starting" | "running" | "stopped" | "failed" | "absent";
export type TenantState = "ready" | "suspended" | "failed" | "absent";

/** A server ended, or had to be ended, though nobody had ordered it. */
export interface ServerEnd {
  /** Grows, and never repeats on a host. */
  readonly number: bigint;
  /** Whether it answered nobody and was ended for that. */
  readonly hung: boolean;
  readonly reason: string;
}

export interface ObservedInstance {
  readonly id: string;
  /** Generation of the desired state that this answers. */
  readonly generation: bigint;
  readonly state: InstanceState;
  readonly reason: string;
  readonly socketDirectory: string;
  readonly database: string;
  readonly engine: string;
  readonly systemIdentifier: bigint;
  /** Names of what waits for a restart. */
  readonly pendingRestart: readonly string[];
  readonly walls: readonly string[];
  /** Number of the newest that it has; 0 when it has none or that is not known. */
  readonly sharedTableChanges: number;
  /** The last that its host knows of; none when left out. */
  readonly lastEnd?: ServerEnd | undefined;
}

export interface ObservedTenant {
  readonly id: string;
  readonly generation: bigint;
  readonly state: TenantState;
  readonly reason: string;
}

/** What an agent saw, whole or what changed. */
export interface ObservedReport {
  readonly instances: readonly ObservedInstance[];
  readonly tenants: readonly ObservedTenant[];
  /** Whether the host takes no writes because of its disk; left out when that is no news. */
  readonly diskFull?: boolean | undefined;
  /** What was found of tenants' isolation; none when left out. */
  readonly proofs?: readonly IsolationProof[];
}
