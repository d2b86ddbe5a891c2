/** The ledger of usage: readings of meters, each once, and how far each source's were taken in. */
import { type CopyTarget, type Db, sql, type Transaction } from "@aerodb/db";
import type { GatewayId, HostId } from "@aerodb/model";

/** A reading as the ledger keeps it. */
export interface LedgerEvent {
  readonly sequence: bigint;
  readonly meter: string;
  readonly tenantId: string;
  readonly value: bigint;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/** What is known of a source, while nobody else takes in events of it. */
export interface HeldSource {
  /** Events up to this number were taken in or refused; null: none ever were. */
  readonly sequence: bigint | null;
  /** Of the tenants asked about those that the source may speak for. */
  readonly tenantIds: readonly string[];
}

/**
 * Holds a source until the transaction ends. A host may speak for the tenants that are on it, a
 * gateway for all.
 */
export async function holdUsageSource(
  db: Db,
  source: HostId | GatewayId,
  tenantIds: readonly string[],
): Promise<HeldSource> {
  // A version of control before this one writes events and knows nothing of the table of sources.
  const [held] = await db.query<{ sequence: bigint }>(sql`
    insert into usage_sources as s (source, sequence)
    select ${source}, coalesce(
      (select sequence from usage_events where source = ${source}
        order by sequence desc limit 1), 0)
    on conflict (source) do update
      set sequence = greatest(s.sequence, excluded.sequence), received_at = now()
    returning sequence`);
  const known = await db.query<{ id: string }>(sql`
    select t.id from tenants t join instances i on i.id = t.instance_id
     where t.id = any(${tenantIds}::text[])
       and (i.host_id = ${source} or starts_with(${source}, 'gtw_'))`);
  const sequence = held?.sequence ?? 0n;
  return {
    sequence: sequence === 0n ? null : sequence,
    tenantIds: known.map(({ id }) => id),
  };
}

const LEDGER: CopyTarget = {
  table: "usage_events",
  columns: {
    source: "text",
    sequence: "bigint",
    meter: "text",
    tenant_id: "text",
    value: "bigint",
    started_at: "timestamptz",
    ended_at: "timestamptz",
  },
};

/** Adds events to the ledger. Their source is held, and they are newer than what it had sent. */
export async function addUsage(
  db: Transaction,
  source: HostId | GatewayId,
  events: readonly LedgerEvent[],
): Promise<void> {
  const rows = events.map(({ sequence, meter, tenantId, value, startedAt, endedAt }) => [
    ...[source, sequence, meter, tenantId],
    ...[value, startedAt, endedAt],
  ]);
  await db.copy(LEDGER, rows);
}

/** What was found out about the events of a source in one transaction. */
export interface UsageTaken {
  readonly source: HostId | GatewayId;
  /** Number of the last event that was looked at. */
  readonly sequence: bigint;
  readonly added: readonly LedgerEvent[];
  readonly refused: bigint;
  /** What to tell of those that were refused or are missing; null: nothing. */
  readonly complaint: Readonly<Record<string, unknown>> | null;
}

/** A source that complains all the time is heard once in so long. */
const COMPLAINT_SECONDS = 600;

/** Notes how far a source was taken in, and what the roll-up has to look at. */
export async function noteUsageTaken(db: Db, taken: UsageTaken): Promise<void> {
  const { source, added } = taken;
  const first = added[0];
  const ended = added.map(({ endedAt }) => endedAt.getTime());
  const firstEndedAt = new Date(ended.reduce((a, b) => Math.min(a, b), Infinity));
  const lastEndedAt = new Date(ended.reduce((a, b) => Math.max(a, b), -Infinity));
  if (first !== undefined) {
    await db.query(sql`
      insert into usage_batches
             (source, first_sequence, last_sequence, first_ended_at, last_ended_at)
      values (${source}, ${first.sequence}, ${added.at(-1)?.sequence}, ${firstEndedAt},
              ${lastEndedAt})`);
  }
  const complaint = taken.complaint === null ? null : JSON.stringify(taken.complaint);
  await db.query(sql`
    with source as (
      update usage_sources
         set sequence = greatest(sequence, ${taken.sequence}), refused = refused + ${taken.refused}
       where source = ${source}
      returning source, refused
    )
    insert into events (actor, kind, subject, after)
    select 'system', 'usage.refuse', source,
           ${complaint}::jsonb || jsonb_build_object('refused_so_far', refused)
      from source
     where ${complaint}::text is not null
       and not exists (
         select from events e
          where e.subject = source.source and e.kind = 'usage.refuse'
            and e.at > now() - ${COMPLAINT_SECONDS} * interval '1 second')`);
}
