/**
 * What a tenant may set in the postgresql.conf of its own instance: this table and nothing else.
 * Not in it, on purpose: whatever names a file, a library, a command or an address, whatever is the
 * platform's promise (connections, WAL, logging, limits of the disk), and what may stop a start.
 */
import { readValue, type ValueRule } from "./setting-value.ts";

export interface SettingRule {
  readonly name: string;
  readonly value: ValueRule;
  readonly takesEffect: "reload" | "restart";
  /** First major version that knows it; undefined: all. */
  readonly sinceMajor?: number;
}

/** The instance that a setting is for. */
export interface SettingBounds {
  readonly memoryMiB: number;
  readonly engineMajor: number;
}

const SWITCH: ValueRule = { kind: "switch" };
const COST: ValueRule = { kind: "number", least: 0, most: 1_000_000 };
const SCALE: ValueRule = { kind: "number", least: 0, most: 1 };
const ROWS: ValueRule = { kind: "integer", least: 0, most: 1_000_000_000 };
const DAY_MS = 86_400_000;

function reload(name: string, value: ValueRule): SettingRule {
  return { name, value, takesEffect: "reload" };
}

function restart(name: string, value: ValueRule): SettingRule {
  return { name, value, takesEffect: "restart" };
}

function size(leastKiB: number, mostShare: number): ValueRule {
  return { kind: "size", leastKiB, mostShare };
}

function time(leastMs: number, mostMs: number): ValueRule {
  return { kind: "time", leastMs, mostMs };
}

function integer(least: number, most: number): ValueRule {
  return { kind: "integer", least, most };
}

function choice(...of: readonly string[]): ValueRule {
  return { kind: "choice", of };
}

const PLANNER_SWITCHES = [
  ...["bitmapscan", "hashagg", "hashjoin", "incremental_sort", "indexonlyscan", "indexscan"],
  ...["material", "memoize", "mergejoin", "nestloop", "parallel_append", "parallel_hash"],
  ...["partition_pruning", "partitionwise_aggregate", "partitionwise_join", "seqscan", "sort"],
];

export const TENANT_SETTINGS: readonly SettingRule[] = [
  reload("work_mem", size(64, 1 / 4)),
  reload("hash_mem_multiplier", { kind: "number", least: 1, most: 8 }),
  reload("maintenance_work_mem", size(1_024, 1 / 4)),
  reload("temp_buffers", size(800, 1 / 4)),
  reload("effective_cache_size", size(1_024, 1)),
  restart("shared_buffers", size(8_192, 2 / 5)),
  restart("max_locks_per_transaction", integer(64, 1_024)),
  restart("max_pred_locks_per_transaction", integer(64, 1_024)),
  restart("track_activity_query_size", integer(100, 16_384)),

  reload("statement_timeout", time(0, DAY_MS)),
  reload("lock_timeout", time(0, DAY_MS)),
  reload("idle_in_transaction_session_timeout", time(0, DAY_MS)),
  reload("idle_session_timeout", time(0, DAY_MS)),
  { ...reload("transaction_timeout", time(0, DAY_MS)), sinceMajor: 17 },
  reload("deadlock_timeout", time(100, 60_000)),

  reload("random_page_cost", COST),
  reload("seq_page_cost", COST),
  reload("cpu_tuple_cost", COST),
  reload("cpu_index_tuple_cost", COST),
  reload("cpu_operator_cost", COST),
  reload("parallel_setup_cost", COST),
  reload("parallel_tuple_cost", COST),
  reload("default_statistics_target", integer(1, 10_000)),
  reload("from_collapse_limit", integer(1, 32)),
  reload("join_collapse_limit", integer(1, 32)),
  reload("geqo", SWITCH),
  reload("geqo_threshold", integer(2, 32)),
  reload("plan_cache_mode", choice("auto", "force_generic_plan", "force_custom_plan")),
  ...PLANNER_SWITCHES.map((name) => reload(`enable_${name}`, SWITCH)),

  reload("max_parallel_workers_per_gather", integer(0, 8)),
  reload("max_parallel_maintenance_workers", integer(0, 8)),
  reload("effective_io_concurrency", integer(0, 1_000)),
  reload("maintenance_io_concurrency", integer(0, 1_000)),

  reload("autovacuum_naptime", time(1_000, 3_600_000)),
  reload("autovacuum_vacuum_threshold", ROWS),
  reload("autovacuum_vacuum_insert_threshold", ROWS),
  reload("autovacuum_analyze_threshold", ROWS),
  reload("autovacuum_vacuum_scale_factor", SCALE),
  reload("autovacuum_vacuum_insert_scale_factor", SCALE),
  reload("autovacuum_analyze_scale_factor", SCALE),
  reload("autovacuum_vacuum_cost_delay", time(0, 100)),
  reload("autovacuum_vacuum_cost_limit", integer(1, 10_000)),
  reload("checkpoint_timeout", time(60_000, 3_600_000)),

  reload(
    "default_transaction_isolation",
    choice("read committed", "repeatable read", "serializable"),
  ),
  reload("default_transaction_deferrable", SWITCH),
  reload("synchronous_commit", choice("on", "local", "off")),
  reload("row_security", SWITCH),
  reload("bytea_output", choice("hex", "escape")),
  reload("datestyle", choice("ISO, MDY", "ISO, DMY", "ISO, YMD")),
  reload("intervalstyle", choice("postgres", "postgres_verbose", "sql_standard", "iso_8601")),
  reload("extra_float_digits", integer(-15, 3)),
  reload("xmloption", choice("content", "document")),
  reload("track_io_timing", SWITCH),
  reload("track_functions", choice("none", "pl", "all")),
];

const BY_NAME: ReadonlyMap<string, SettingRule> = new Map(
  TENANT_SETTINGS.map((rule) => [rule.name, rule]),
);

export type SettingReading =
  | { readonly kind: "accepted"; readonly value: string }
  | { readonly kind: "refused"; readonly sentence: string };

/** Whether a tenant may set this to that, and how it is written then. */
export function readSetting(name: string, text: string, bounds: SettingBounds): SettingReading {
  const rule = BY_NAME.get(name);
  if (rule === undefined) {
    const allowed = TENANT_SETTINGS.map((each) => each.name).join(", ");
    return refused(`${JSON.stringify(name)} is not for tenants to set. Allowed are: ${allowed}.`);
  }
  if (rule.sinceMajor !== undefined && bounds.engineMajor < rule.sinceMajor) {
    const { sinceMajor } = rule;
    return refused(`${name} needs Postgres ${sinceMajor}; this is ${bounds.engineMajor}.`);
  }
  const value = readValue(rule.value, text, bounds.memoryMiB);
  if (value.kind === "refused") return refused(`${name} must be ${value.expected}.`);
  return value;
}

/** What of a tenant's wishes is allowed, as it is written, and what is not. */
export function acceptSettings(
  settings: Readonly<Record<string, string>>,
  bounds: SettingBounds,
): {
  readonly accepted: Readonly<Record<string, string>>;
  readonly refused: readonly { readonly name: string; readonly sentence: string }[];
} {
  const read = Object.entries(settings)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => ({ name, reading: readSetting(name, text, bounds) }));
  return {
    accepted: Object.fromEntries(
      read.flatMap(({ name, reading }) =>
        reading.kind === "accepted" ? [[name, reading.value] as const] : [],
      ),
    ),
    refused: read.flatMap(({ name, reading }) =>
      reading.kind === "refused" ? [{ name, sentence: reading.sentence }] : [],
    ),
  };
}

/** Whether a change of this setting waits for a restart. */
export function waitsForRestart(name: string): boolean {
  return BY_NAME.get(name)?.takesEffect === "restart";
}

function refused(sentence: string): SettingReading {
  return { kind: "refused", sentence };
}
