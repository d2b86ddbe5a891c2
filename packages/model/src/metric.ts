/**
 * Everything that is measured of a host, an instance or a tenant: its name, and how two spans of it
 * become one. The unit is the end of the name. Operational figures, not what is billed.
 */
export type MetricKind =
  | "counter" // What was added in the span: two spans add up.
  | "gauge"; // What it was at the end of the span: the newer one counts.

interface Metric {
  readonly kind: MetricKind;
  /** What it says, for whoever reads it. */
  readonly about: string;
}

function counter(about: string): Metric {
  return { kind: "counter", about };
}

function gauge(about: string): Metric {
  return { kind: "gauge", about };
}

export const METRICS = {
  cpu_seconds: counter("Processor time used."),
  throttled_seconds: counter("Time spent waiting because the processor limit was reached."),
  throttled_periods: counter("Periods in which the processor limit was reached."),
  oom_kills: counter("Processes the kernel ended because the memory limit was reached."),
  read_bytes: counter("Bytes read from storage."),
  written_bytes: counter("Bytes written to storage."),
  memory_bytes: gauge("Memory in use."),
  processes: gauge("Processes."),

  connections: gauge("Sessions that are open."),
  active_connections: gauge("Sessions that run a statement."),
  idle_in_transaction_connections: gauge("Sessions that hold a transaction open and do nothing."),
  lock_waiting_connections: gauge("Sessions that wait for a lock."),
  oldest_transaction_seconds: gauge("Age of the oldest open transaction."),
  transactions: counter("Transactions that were committed."),
  rollbacks: counter("Transactions that were rolled back."),
  deadlocks: counter("Deadlocks."),
  temp_bytes: counter("Bytes that spilled into temporary files."),
  blocks_read: counter("Blocks that were not in Postgres's own cache."),
  blocks_hit: counter("Blocks that were in Postgres's own cache."),
  rows_returned: counter("Rows that scans went over."),
  rows_written: counter("Rows inserted, updated and deleted."),
  wal_bytes: counter("WAL written."),
  checkpoints: counter("Checkpoints."),
  transaction_id_age: gauge("Transactions since the oldest row that is not frozen yet."),
  storage_bytes: gauge("Files of tables, indexes and what belongs to them."),
  live_rows: gauge("Rows, as the statistics estimate."),
  dead_rows: gauge("Rows that wait for a vacuum, as the statistics estimate."),
  bloat_bytes: gauge("Storage taken by dead rows, estimated."),
  standbys: gauge("Standbys that are attached."),
  replication_lag_bytes: gauge("WAL that the last of the standbys has not replayed."),
  replication_lag_seconds: gauge("How far behind the last of the standbys is."),

  load_1m: gauge("Processes that run or wait for the processor or the disk, over a minute."),
  memory_total_bytes: gauge("Memory of the host."),
  memory_available_bytes: gauge("Memory the host could still give."),
  disk_total_bytes: gauge("Size of the file system that holds the instances."),
  disk_free_bytes: gauge("What is free of it."),
  cpu_pressure_seconds: counter("Time in which something waited for the processor."),
  memory_pressure_seconds: counter("Time in which something waited for memory."),
  io_pressure_seconds: counter("Time in which something waited for storage."),
  instances_running: gauge("Instances whose server is up."),

  agent_cpu_seconds: counter("Processor time of the agent itself, measuring included."),
  agent_memory_bytes: gauge("Memory of the agent itself."),
  metering_seconds: counter("Time spent measuring; waiting for answers is part of it."),
  metering_connections: counter("Sessions opened to measure."),
  metering_failures: counter("Measurements that failed or took too long."),
  metering_skipped: counter("Instances that were measured more than a beat late."),
  samples_waiting: gauge("Samples that control has not taken in yet."),
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof METRICS;
/** What was measured, by name. */
export type Readings = Readonly<Partial<Record<MetricName, number>>>;

export function isMetric(name: string): name is MetricName {
  return Object.hasOwn(METRICS, name);
}

export function kindOfMetric(name: MetricName): MetricKind {
  return METRICS[name].kind;
}

/** The readings of two spans, one after the other, as those of one span. */
export function mergeReadings(older: Readings, newer: Readings): Readings {
  const merged: Partial<Record<MetricName, number>> = { ...older };
  for (const [name, value] of entriesOfReadings(newer)) {
    const adds = kindOfMetric(name) === "counter";
    merged[name] = adds ? (older[name] ?? 0) + value : value;
  }
  return merged;
}

export function entriesOfReadings(readings: Readings): [MetricName, number][] {
  return Object.entries(readings) as [MetricName, number][];
}
