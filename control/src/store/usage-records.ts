/**
 * What each tenant used in each hour: derived from the ledger, again whenever it got new events.
 */
import { type Db, sql, type Transaction } from "@aerodb/db";

export interface MeterNames {
  readonly gauges: readonly string[];
  readonly peaks: readonly string[];
}

/** Some meters in some hours, of equal lengths: one of each makes one record. */
interface Hours {
  readonly tenantIds: readonly string[];
  readonly meters: readonly string[];
  readonly hours: readonly Date[];
}

interface HourRow {
  readonly tenantId: string;
  readonly meter: string;
  readonly hour: Date;
}

/**
 * Whether this transaction is the only one that derives records until it ends; of two, the slower
 * could write over what the other knew.
 */
export async function holdUsageRecords(db: Db): Promise<boolean> {
  // The tables are joined by indexes of the ledger, of which only few months are touched.
  const [held] = await db.query<{ held: boolean }>(sql`
    select pg_try_advisory_xact_lock(hashtext('usage_records')) as held,
           set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true)`);
  return held?.held ?? false;
}

/**
 * Takes the oldest batches of new events: of about as many events as asked, and at least one.
 * Returns which meters of which hours they are of, and whether there are more.
 */
export async function takeUsageBatches(
  db: Db,
  events: number,
): Promise<{ readonly touched: Hours; readonly more: boolean }> {
  const batches = await db.query<{
    readonly source: string;
    readonly first: bigint;
    readonly last: bigint;
    readonly firstAt: Date;
    readonly lastAt: Date;
  }>(sql`
    delete from usage_batches
     where id in (
       select id from (
         select id, sum(last_sequence - first_sequence + 1) over (
                  order by id rows between unbounded preceding and 1 preceding) as before
           from usage_batches) b
        where before is null or before < ${events})
    returning source, first_sequence as first, last_sequence as last,
              first_ended_at as "firstAt", last_ended_at as "lastAt"`);
  const touched = await db.query<HourRow>(sql`
    select distinct e.tenant_id as "tenantId", e.meter,
           date_trunc('hour', e.ended_at, 'UTC') as hour
      from unnest(${batches.map(({ source }) => source)}::text[],
                  ${batches.map(({ first }) => first)}::bigint[],
                  ${batches.map(({ last }) => last)}::bigint[],
                  ${batches.map(({ firstAt }) => firstAt)}::timestamptz[],
                  ${batches.map(({ lastAt }) => lastAt)}::timestamptz[])
           as b (source, first, last, first_at, last_at)
      join usage_events e on e.source = b.source and e.sequence between b.first and b.last
       and e.ended_at between b.first_at and b.last_at`);
  const [waiting] = await db.query<{ more: boolean }>(sql`
    select exists (select from usage_batches) as more`);
  return { touched: hoursOf(touched), more: waiting?.more ?? false };
}

/** Gauges of which nobody told anything new for an hour: they hold, and their records go on. */
export async function listSilentGauges(db: Db, limit: number): Promise<Hours> {
  const silent = await db.query<HourRow>(sql`
    select tenant_id as "tenantId", meter, rolled_up_to as hour from usage_gauges
     where rolled_up_to < date_trunc('hour', now(), 'UTC')
     order by rolled_up_to limit ${limit}`);
  return hoursOf(silent);
}

/** Derives the records of these hours anew, and those that follow from gauges read in them. */
export async function writeUsageRecords(
  db: Transaction,
  touched: Hours,
  { gauges, peaks }: MeterNames,
): Promise<void> {
  const { tenantIds, meters, hours } = touched;
  if (hours.length === 0) return;
  await db.query(sql`
    with touched as (
      select * from unnest(${tenantIds}::text[], ${meters}::text[], ${hours}::timestamptz[])
                    as t (tenant_id, meter, hour)
    ), open as (
      -- The last hour that has a record was not over when it got it.
      select g.tenant_id, g.meter, g.rolled_up_to
        from usage_gauges g join touched t using (tenant_id, meter)
    ), gauges as (
      select array_agg(tenant_id) as ids, array_agg(meter) as meters, array_agg(hour) as hours
        from (select * from touched where meter = any(${gauges}::text[])
              union select * from open) t
    ), others as (
      select array_agg(tenant_id) as ids, array_agg(meter) as meters, array_agg(hour) as hours
        from touched where not meter = any(${gauges}::text[])
    ), reach as (
      select array_agg(h.tenant_id) as ids, array_agg(h.meter) as meters, array_agg(h.hour) as hours
        from gauges g, hours_of_gauges(g.ids, g.meters, g.hours, now()) h
    )
    insert into usage_records as r (tenant_id, meter, hour, amount)
    select c.* from others o, counted_in_hours(o.ids, o.meters, o.hours, ${peaks}::text[]) c
    union all
    select c.* from reach o, gauges_of_hours(o.ids, o.meters, o.hours, now()) c
    on conflict (tenant_id, meter, hour) do update
      set amount = excluded.amount where r.amount <> excluded.amount`);
  await noteGauges(db, touched, gauges);
}

/** What each gauge is now, and how far its records go; a tenant that has ended has none. */
async function noteGauges(db: Db, touched: Hours, gauges: readonly string[]): Promise<void> {
  const { tenantIds, meters } = touched;
  await db.query(sql`
    insert into usage_gauges (tenant_id, meter, value, read_at, rolled_up_to)
    select g.tenant_id, g.meter, e.value, e.ended_at, date_trunc('hour', now(), 'UTC')
      from (select distinct tenant_id, meter
              from unnest(${tenantIds}::text[], ${meters}::text[]) as t (tenant_id, meter)
             where meter = any(${gauges}::text[])) g
     cross join lateral (
       select value, ended_at from usage_events e
        where e.tenant_id = g.tenant_id and e.meter = g.meter
        order by ended_at desc, source desc, sequence desc limit 1) e
    on conflict (tenant_id, meter) do update
      set (value, read_at, rolled_up_to)
        = (excluded.value, excluded.read_at, excluded.rolled_up_to)`);
  await db.query(sql`
    delete from usage_gauges g
     where g.tenant_id = any(${tenantIds}::text[])
       and (select t.plan is null from tenant_terms t
             where t.tenant_id = g.tenant_id order by from_at desc limit 1)`);
}

function hoursOf(rows: readonly HourRow[]): Hours {
  return {
    tenantIds: rows.map(({ tenantId }) => tenantId),
    meters: rows.map(({ meter }) => meter),
    hours: rows.map(({ hour }) => hour),
  };
}

/** Makes room for what will be used this month and in the next two. */
export async function makeUsageMonths(db: Db): Promise<void> {
  await db.query(sql`select make_usage_months(now(), now() + interval '2 months')`);
}
