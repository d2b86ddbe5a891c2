/**
 * Everything that is metered, and how readings of it become one amount. Unlike the operational
 * figures of `metric.ts`, each reading counts once, and bills follow from it.
 */
export type MeterKind =
  | "counter" // What was added between the start and the end of a reading: readings add up.
  | "gauge" // What it is at one moment, until the next reading: weighted by time.
  | "peak"; // The highest between the start and the end of a reading: the highest counts.

/** Who reads a meter. */
export type MeterSource = "host" | "gateway";

interface MeterTraits {
  readonly kind: MeterKind;
  readonly source: MeterSource;
  /** What it says, for whoever reads a bill. */
  readonly about: string;
}

function of(kind: MeterKind, source: MeterSource, about: string): MeterTraits {
  return { kind, source, about };
}

export const METERS = {
  storage_bytes: of("gauge", "host", "Tables, indexes, TOAST and large objects."),
  backup_bytes: of("gauge", "host", "Base backups and archived WAL."),
  backups_completed: of("counter", "host", "Base backups that were completed."),
  cpu_seconds: of("counter", "host", "Processor time of an instance of the tenant's own."),
  memory_mib_seconds: of(
    "counter",
    "host",
    "Memory in use by an instance of the tenant's own, times the seconds it was in use.",
  ),
  wal_bytes: of("counter", "host", "WAL written by an instance of the tenant's own."),
  active_seconds: of("counter", "host", "Time for which an instance of the tenant's own ran."),

  api_requests: of("counter", "gateway", "Requests to the tenant's HTTP API."),
  file_bytes: of("gauge", "gateway", "Files of the tenant."),
  realtime_connections_peak: of("peak", "gateway", "Most realtime connections at once."),
  realtime_connection_seconds: of("counter", "gateway", "Time of all realtime connections."),
  egress_bytes: of("counter", "gateway", "Bytes sent to clients."),
  ingress_bytes: of("counter", "gateway", "Bytes received from clients."),
  connections_opened: of("counter", "gateway", "Postgres connections that were let in."),
  connections_refused: of("counter", "gateway", "Postgres connections that were refused."),
  connections_peak: of("peak", "gateway", "Most Postgres connections at once."),
  connection_seconds: of("counter", "gateway", "Time of all Postgres connections."),
  transactions: of("counter", "gateway", "Transactions."),
  wake_waits: of("counter", "gateway", "Connections that waited for the instance to be woken."),
  parks: of("counter", "gateway", "Connections that were held while the instance restarted."),
  idle_timeouts: of("counter", "gateway", "Connections that were ended because they were idle."),
  idle_in_transaction_timeouts: of(
    "counter",
    "gateway",
    "Clients of the pooled port that were ended because they were idle in a transaction.",
  ),
  pool_timeouts: of(
    "counter",
    "gateway",
    "Clients of the pooled port that were ended because no server became free in time.",
  ),
} as const satisfies Readonly<Record<string, MeterTraits>>;

export type Meter = keyof typeof METERS;

export function isMeter(name: string): name is Meter {
  return Object.hasOwn(METERS, name);
}

/** Every meter of one kind. */
export function metersOf(kind: MeterKind): readonly Meter[] {
  return (Object.keys(METERS) as Meter[]).filter((meter) => METERS[meter].kind === kind);
}
