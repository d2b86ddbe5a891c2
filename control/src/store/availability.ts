/** When gateways watched, and when nobody got through to a tenant: times, never single minutes. */
import { type Db, sql } from "@aerodb/db";
import type { GatewayId, IncidentCause, TenantId } from "@aerodb/model";

/** When a gateway joined, and since when those of these tenants have served who did. */
export async function readWatchContext(
  db: Db,
  gatewayId: GatewayId,
  tenantIds: readonly string[],
): Promise<{ readonly joinedAt: Date | undefined; readonly served: readonly ServedSince[] }> {
  const [gateway] = await db.query<{ joinedAt: Date }>(sql`
    select created_at as "joinedAt" from gateways where id = ${gatewayId}`);
  if (tenantIds.length === 0) return { joinedAt: gateway?.joinedAt, served: [] };
  const served = await db.query<ServedSince>(sql`
    select tenant_id as "tenantId", min(from_at) as since from tenant_terms
     where tenant_id = any(${tenantIds}::text[]) group by tenant_id`);
  return { joinedAt: gateway?.joinedAt, served };
}

interface ServedSince {
  readonly tenantId: string;
  readonly since: Date;
}

interface TimeSpan {
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/** Notes that a gateway watched. What it noted before changes nothing. */
export async function addWatchedTimes(
  db: Db,
  gatewayId: GatewayId,
  watched: {
    readonly spans: readonly TimeSpan[];
    readonly certificateEndsAt: Date | undefined;
  },
): Promise<void> {
  const { spans, certificateEndsAt = null } = watched;
  await db.query(sql`
    insert into watched_times as w (gateway_id, month, times)
    select ${gatewayId}, date_trunc('month', started_at, 'UTC'),
           range_agg(tstzrange(started_at, ended_at))
      from unnest(${spans.map(({ startedAt }) => startedAt)}::timestamptz[],
                  ${spans.map(({ endedAt }) => endedAt)}::timestamptz[])
           as s (started_at, ended_at)
     group by 2 order by 2
    on conflict (gateway_id, month) do update set times = w.times + excluded.times`);
  await db.query(sql`
    update gateways set certificate_ends_at = ${certificateEndsAt}
     where id = ${gatewayId} and ${certificateEndsAt}::timestamptz is not null
       and certificate_ends_at is distinct from ${certificateEndsAt}`);
}

/**
 * Notes to whom nobody got through. A server that does not answer is put down to its host where the
 * host has not been heard since 45 seconds before the end of that time.
 */
export async function addUnreachedTimes(
  db: Db,
  unreached: readonly (TimeSpan & {
    readonly cause: IncidentCause;
    readonly tenantId: string;
  })[],
): Promise<void> {
  await db.query(sql`
    with found as (
      select f.tenant_id, f.started_at, f.ended_at,
             case when f.cause = 'no_answer' and h.last_seen_at < f.ended_at - interval '45 seconds'
                  then 'host_silent' else f.cause end as cause
        from unnest(${unreached.map(({ tenantId }) => tenantId)}::text[],
                    ${unreached.map(({ cause }) => cause)}::text[],
                    ${unreached.map(({ startedAt }) => startedAt)}::timestamptz[],
                    ${unreached.map(({ endedAt }) => endedAt)}::timestamptz[])
             as f (tenant_id, cause, started_at, ended_at)
        left join tenants t on t.id = f.tenant_id
        left join instances i on i.id = t.instance_id
        left join hosts h on h.id = i.host_id
    )
    insert into unreached_times as u (month, tenant_id, cause, times)
    select date_trunc('month', started_at, 'UTC') as month, tenant_id, cause,
           range_agg(tstzrange(started_at, ended_at))
      from found group by month, tenant_id, cause
     -- Rows are locked in one order everywhere.
     order by month, tenant_id, cause
    on conflict (month, tenant_id, cause) do update set times = u.times + excluded.times`);
}

/** A gateway that complains all the time is heard once in so long. */
const COMPLAINT_SECONDS = 600;

/** Tells that something a gateway said of who is reached was refused. */
export async function addWatchComplaint(
  db: Db,
  gatewayId: GatewayId,
  complaint: Readonly<Record<string, unknown>>,
): Promise<void> {
  await db.query(sql`
    insert into events (actor, kind, subject, after)
    select 'system', 'availability.refuse', ${gatewayId}, ${JSON.stringify(complaint)}::jsonb
     where not exists (
       select from events e
        where e.subject = ${gatewayId} and e.kind = 'availability.refuse'
          and e.at > now() - ${COMPLAINT_SECONDS} * interval '1 second')`);
}

/** In milliseconds, as JSON: from, and to before when. */
type Range = readonly [from: number, to: number];

export interface AvailabilityRows {
  readonly terms: readonly {
    readonly from: number;
    readonly to: number | null;
    readonly availableMillionths: number | null;
  }[];
  readonly watched: readonly Range[];
  readonly unreached: readonly {
    readonly cause: IncidentCause;
    readonly times: readonly Range[];
  }[];
  /** Up to when any gateway has told anything; null: none has. */
  readonly toldAt: number | null;
}

/** Everything that the availability of a tenant in a month follows from. */
export async function readAvailability(
  db: Db,
  tenantId: TenantId,
  month: { readonly startsAt: Date; readonly endsAt: Date },
): Promise<AvailabilityRows> {
  const { startsAt, endsAt } = month;
  const [rows] = await db.query<AvailabilityRows>(sql`
    select (select coalesce(json_agg(json_build_object(
              'from', extract(epoch from s.from_at) * 1000,
              'to', extract(epoch from s.to_at) * 1000,
              'availableMillionths', (
                select p.available_millionths from plan_promises p
                 where p.plan = s.plan and p.active_from <= ${startsAt}
                 order by p.active_from desc limit 1)) order by s.from_at), '[]')
              from (select plan, from_at, lead(from_at) over (order by from_at) as to_at
                      from tenant_terms where tenant_id = ${tenantId}) s
             where s.plan is not null and s.from_at < ${endsAt}
               and (s.to_at is null or s.to_at > ${startsAt})) as terms,
           (select coalesce(json_agg(json_build_array(
              extract(epoch from lower(w.r)) * 1000, extract(epoch from upper(w.r)) * 1000)
              order by w.r), '[]')
              from (select unnest(range_agg(times)) as r from watched_times
                     where month = ${startsAt}) w) as watched,
           (select coalesce(json_agg(json_build_object('cause', u.cause, 'times', (
              select json_agg(json_build_array(
                extract(epoch from lower(r)) * 1000, extract(epoch from upper(r)) * 1000)
                order by r) from unnest(u.times) r))), '[]')
              from unreached_times u
             where u.month = ${startsAt} and u.tenant_id = ${tenantId}) as unreached,
           (select extract(epoch from max(upper(times)))::float8 * 1000 from watched_times
             where month = ${startsAt}) as "toldAt"`);
  if (rows === undefined) throw new Error("bug: nothing is answered for a tenant");
  return rows;
}

/** For how long nobody got through to a tenant this month. */
export interface DownTime {
  readonly tenantId: TenantId;
  readonly seconds: number;
  readonly plannedSeconds: number;
  /** For how long it may be down in the month; 0: nothing is promised. */
  readonly budgetSeconds: number;
  /** How much of that it was: what was down while nothing was promised is no part of it. */
  readonly budgetUsedSeconds: number;
}

/** Of every tenant to whom there was such a time this month. */
export function listDownTimes(
  db: Db,
  causes: { readonly planned: readonly string[]; readonly unplanned: readonly string[] },
): Promise<DownTime[]> {
  const { planned, unplanned } = causes;
  return db.query<DownTime>(sql`
    with down as (
      select tenant_id,
             coalesce(range_agg(times) filter (where cause = any(${unplanned}::text[])), '{}')
               as unplanned,
             coalesce(range_agg(times) filter (where cause = any(${planned}::text[])), '{}')
               as planned
        from unreached_times where month = date_trunc('month', now(), 'UTC')
       group by tenant_id
    )
    select d.tenant_id as "tenantId", seconds_of(d.unplanned) as seconds,
           seconds_of(d.planned - d.unplanned) as "plannedSeconds",
           coalesce(b.seconds, 0) as "budgetSeconds",
           seconds_of(d.unplanned * coalesce(p.times, '{}')) as "budgetUsedSeconds"
      from down d
      left join error_budgets((select array_agg(tenant_id) from down),
                              date_trunc('month', now(), 'UTC')) b on b.tenant_id = d.tenant_id
      left join promised_times((select array_agg(tenant_id) from down),
                               date_trunc('month', now(), 'UTC')) p on p.tenant_id = d.tenant_id
     where not (isempty(d.unplanned) and isempty(d.planned))
     order by d.tenant_id`);
}

/** Up to when any gateway has told who can be reached; undefined: none has lately. */
export async function readToldAt(db: Db): Promise<Date | undefined> {
  const [told] = await db.query<{ at: Date | null }>(sql`
    select max(upper(times)) as at from watched_times
     where month >= date_trunc('month', now() - interval '1 day', 'UTC')`);
  return told?.at ?? undefined;
}

/** Forgets what was so many months ago. */
export async function purgeWatchedTimes(db: Db, months: number): Promise<void> {
  await db.query(sql`
    delete from watched_times where month < now() - make_interval(months => ${months})`);
  await db.query(sql`
    delete from unreached_times where month < now() - make_interval(months => ${months})`);
}
