/**
 * What a running instance says of itself, in one round trip, to the login that measures. Only the
 * statistics views and the catalogue are read: no object of a tenant, and no lock that a tenant
 * could hold. Counters count since the server came up.
 */
import type { MetricName, Readings } from "@aerodb/model";
import { isId, type TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { connectMeter } from "./connection.ts";
import { databaseFault } from "./database-fault.ts";

export interface ActivityAnswer {
  /** Sums since the server came up, or since its statistics were lost in a crash. */
  readonly counters: Readings;
  readonly gauges: Readings;
  /** Of those that have sessions; of nobody else. */
  readonly tenants: ReadonlyMap<TenantId, Readings>;
}

/** Names of what an answer of Postgres holds, by the columns of the statements below. */
type Row = Readonly<Record<string, unknown>>;

const CONNECT_MS = 2_000;
const STATEMENT_MS = 2_000;
const LOCK_MS = 500;

/**
 * Opens a session of the meter and ends it after the work, whatever comes of it. A server that has
 * stopped to answer costs the deadlines and no more: its connection is cut.
 */
export async function withMeter<Value>(
  settings: {
    readonly socketDirectory: string;
    readonly password: string;
    readonly statementTimeoutMs?: number;
  },
  work: (client: Client) => Promise<Value>,
): Promise<Value> {
  const client = await connectMeter({
    connectTimeoutMs: CONNECT_MS,
    statementTimeoutMs: STATEMENT_MS,
    lockTimeoutMs: LOCK_MS,
    ...settings,
  });
  try {
    const value = await work(client);
    await client.end();
    return value;
  } catch (error) {
    cut(client);
    throw databaseFault(error, "be measured");
  }
}

/** Ends a session without asking the server. */
export function cut(client: Client): void {
  const { connection } = client as unknown as {
    readonly connection?: { readonly stream?: { destroy(): void } };
  };
  connection?.stream?.destroy();
}

/** Asks what happens in an instance. `major` is that of its engine. */
export async function askActivity(client: Client, major: number): Promise<ActivityAnswer> {
  const { rows } = await client.query<Row>(activityStatement(major));
  const [row = {}] = rows;
  return {
    counters: pick(row, COUNTERS),
    gauges: pick(row, GAUGES),
    tenants: byTenant(row["tenants"], TENANT_GAUGES),
  };
}

const COUNTERS = [
  "transactions",
  "rollbacks",
  "deadlocks",
  "temp_bytes",
  "blocks_read",
  "blocks_hit",
  "rows_returned",
  "rows_written",
  "wal_bytes",
  "checkpoints",
] as const satisfies readonly MetricName[];

const TENANT_GAUGES = [
  "connections",
  "active_connections",
  "idle_in_transaction_connections",
  "lock_waiting_connections",
  "oldest_transaction_seconds",
] as const satisfies readonly MetricName[];

const GAUGES = [
  ...TENANT_GAUGES,
  "transaction_id_age",
  "standbys",
  "replication_lag_bytes",
  "replication_lag_seconds",
] as const satisfies readonly MetricName[];

/** The numbers of some columns; what is null or no number is left out. */
export function pick(row: Row, names: readonly MetricName[]): Readings {
  const found = names.flatMap((name) => {
    const value = row[name];
    return typeof value === "number" && Number.isFinite(value) && value >= 0
      ? [[name, value] as const]
      : [];
  });
  return Object.fromEntries(found);
}

/** Rows of a JSON list whose `tenant` is the name of a tenant's role. */
export function byTenant(
  list: unknown,
  names: readonly MetricName[],
): ReadonlyMap<TenantId, Readings> {
  const found = new Map<TenantId, Readings>();
  for (const row of Array.isArray(list) ? (list as Row[]) : []) {
    const tenant = row["tenant"];
    if (typeof tenant === "string" && isId("ten", tenant)) found.set(tenant, pick(row, names));
  }
  return found;
}

/** Sessions of clients, this one left out, as sums over whatever they are grouped by. */
const SESSIONS = `
  pg_catalog.count(*)::float8 as connections,
  pg_catalog.count(*) filter (where state = 'active')::float8 as active_connections,
  pg_catalog.count(*) filter (where state in
    ('idle in transaction', 'idle in transaction (aborted)'))::float8
    as idle_in_transaction_connections,
  pg_catalog.count(*) filter (where wait_event_type = 'Lock')::float8
    as lock_waiting_connections,
  coalesce(pg_catalog.max(greatest(0, pg_catalog.date_part('epoch',
    pg_catalog.now() - xact_start))), 0)::float8 as oldest_transaction_seconds`;

function activityStatement(major: number): string {
  return `
with clients as materialized (
  select usename, state, wait_event_type, xact_start
  from pg_catalog.pg_stat_activity
  where backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid()
), tenants as (
  select usename as tenant, ${SESSIONS}
  from clients where pg_catalog.starts_with(usename::pg_catalog.text, 'ten_') group by usename
), standbys as (
  select pg_catalog.count(*)::float8 as standbys,
    pg_catalog.max(pg_catalog.pg_wal_lsn_diff(
      case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn()
        else pg_catalog.pg_current_wal_lsn() end, replay_lsn))::float8 as replication_lag_bytes,
    pg_catalog.max(pg_catalog.date_part('epoch', replay_lag))::float8 as lag_seconds
  from pg_catalog.pg_stat_replication
)
select
  d.xact_commit::float8 as transactions,
  d.xact_rollback::float8 as rollbacks,
  d.deadlocks::float8 as deadlocks,
  d.temp_bytes::float8 as temp_bytes,
  d.blks_read::float8 as blocks_read,
  d.blks_hit::float8 as blocks_hit,
  d.tup_returned::float8 as rows_returned,
  (d.tup_inserted + d.tup_updated + d.tup_deleted)::float8 as rows_written,
  (select wal_bytes::float8 from pg_catalog.pg_stat_wal) as wal_bytes,
  (${checkpointCount(major)}) as checkpoints,
  (select pg_catalog.age(datfrozenxid)::float8 from pg_catalog.pg_database
    where datname = pg_catalog.current_database()) as transaction_id_age,
  sessions.*,
  standbys.standbys,
  standbys.replication_lag_bytes,
  case when pg_catalog.pg_is_in_recovery()
    then pg_catalog.date_part('epoch',
      pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp())
    else standbys.lag_seconds end as replication_lag_seconds,
  (select pg_catalog.json_agg(tenants) from tenants) as tenants
from pg_catalog.pg_stat_database d, standbys, (select ${SESSIONS} from clients) sessions
where d.datname = pg_catalog.current_database()`;
}

/** Where checkpoints are counted, and whether those that found nothing to do are among them. */
function checkpointCount(major: number): string {
  if (major >= 18) return "select num_done::float8 from pg_catalog.pg_stat_checkpointer";
  if (major === 17) {
    return "select (num_timed + num_requested)::float8 from pg_catalog.pg_stat_checkpointer";
  }
  return "select (checkpoints_timed + checkpoints_req)::float8 from pg_catalog.pg_stat_bgwriter";
}
