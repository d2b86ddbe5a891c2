/** What agents measured: kept once, for two days at least. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, Readings, TenantId } from "@aerodb/model";

/** A statement as a server counts it. */
export interface SampledStatement {
  readonly queryId: string;
  readonly query: string;
  readonly calls: number;
  readonly totalSeconds: number;
  readonly rows: number;
}

/** One span of one subject. */
export interface Sample {
  readonly sequence: bigint;
  readonly at: Date;
  readonly seconds: number;
  /** Empty: the host itself. */
  readonly instanceId: string;
  /** Empty: the whole instance. */
  readonly tenantId: string;
  readonly readings: Readings;
  readonly statements: readonly SampledStatement[];
}

/**
 * Keeps samples, each once. A host may speak for itself, for its instances, and for tenants in
 * them; what it says of others is dropped, and so is what is older than is kept or has not happened
 * yet. That the kernel ended processes of an instance for want of memory is an event as well, at
 * most once in ten minutes.
 */
export async function insertSamples(
  db: Db,
  hostId: HostId,
  samples: readonly Sample[],
): Promise<void> {
  await db.query(sql`
    with kept as (
      insert into samples (host_id, sequence, day, subject, at, seconds, readings, statements)
      select ${hostId}, s.sequence, day_of_sample(s.at), coalesce(t.id, i.id, ${hostId}), s.at,
             s.seconds, s.readings::jsonb, nullif(s.statements, '[]')::jsonb
        from unnest(${samples.map(({ sequence }) => sequence)}::bigint[],
                    ${samples.map(({ at }) => at)}::timestamptz[],
                    ${samples.map(({ seconds }) => seconds)}::integer[],
                    ${samples.map(({ instanceId }) => instanceId)}::text[],
                    ${samples.map(({ tenantId }) => tenantId)}::text[],
                    ${samples.map(({ readings }) => JSON.stringify(readings))}::text[],
                    ${samples.map(({ statements }) => JSON.stringify(statements))}::text[])
             as s (sequence, at, seconds, instance_id, tenant_id, readings, statements)
        left join instances i on i.id = s.instance_id and i.host_id = ${hostId}
        left join tenants t on t.id = s.tenant_id and t.instance_id = i.id and i.shared
       where s.sequence > 0 and s.seconds > 0
         and (s.instance_id = '' or i.id is not null)
         and (s.tenant_id = '' or t.id is not null)
         and s.at > now() - interval '48 hours' and s.at < now() + interval '5 minutes'
      on conflict do nothing
      returning subject, (readings->>'oom_kills')::float8 as oom_kills
    ), short as (
      select subject, sum(oom_kills) as processes from kept where oom_kills > 0 group by subject
    )
    insert into events (actor, kind, subject, after)
    select ${hostId}, 'instance.out_of_memory', subject, json_build_object('processes', processes)
      from short
     where not exists (
       select from events e
        where e.subject = short.subject and e.kind = 'instance.out_of_memory'
          and e.at > now() - interval '10 minutes')`);
}

/** What was measured of one subject in one step of time. */
export interface MetricPoint {
  /** End of the last span in it. */
  readonly at: Date;
  /** How much of the step was measured. */
  readonly seconds: number;
  readonly readings: Readings;
}

export interface MetricQuery {
  readonly subject: HostId | InstanceId | TenantId;
  readonly sinceSeconds: number;
  readonly stepSeconds: number;
  /** Names whose spans add up; of the others the newest counts. */
  readonly counters: readonly string[];
  readonly limit: number;
}

/** What was measured of a subject, in steps, oldest first. */
export function readMetricPoints(db: Db, query: MetricQuery): Promise<MetricPoint[]> {
  const { subject, sinceSeconds, stepSeconds, counters, limit } = query;
  return db.query<MetricPoint>(sql`
    with spans as (
      select date_bin(make_interval(secs => ${stepSeconds}), at, 'epoch') as step,
             at, seconds, readings
        from samples
       where subject = ${subject} and at > now() - make_interval(secs => ${sinceSeconds})
    ), steps as (
      select step, max(at) as at, sum(seconds)::integer as seconds from spans group by step
    ), merged as (
      select step, key,
             case when key = any(${counters}::text[]) then sum(value::float8)
                  else (array_agg(value::float8 order by at desc))[1] end as value
        from spans, jsonb_each_text(readings)
       group by step, key
    ), points as (
      select s.at, s.seconds, coalesce(
               (select json_object_agg(m.key, m.value) from merged m where m.step = s.step),
               '{}') as readings
        from steps s order by s.at desc limit ${limit}
    )
    select * from points order by at`);
}

/** The statements that took most time, as last told; none when none were. */
export async function readStatements(
  db: Db,
  subject: HostId | InstanceId | TenantId,
): Promise<readonly SampledStatement[]> {
  const [found] = await db.query<{ readonly statements: readonly SampledStatement[] }>(sql`
    select statements from samples
     where subject = ${subject} and statements is not null and at > now() - interval '1 hour'
     order by at desc limit 1`);
  return found?.statements ?? [];
}

/** Which instance a tenant's figures are of, when it has one of its own; else null. */
export async function readOwnInstance(db: Db, id: TenantId): Promise<InstanceId | undefined> {
  const [found] = await db.query<{ readonly id: InstanceId }>(sql`
    select i.id from tenants t join instances i on i.id = t.instance_id
     where t.id = ${id} and not i.shared`);
  return found?.id;
}

/** Whether an instance is, or lately was, on a host. */
export async function isOnHost(db: Db, hostId: HostId, instanceId: string): Promise<boolean> {
  const found = await db.query(sql`
    select from instances where id = ${instanceId} and host_id = ${hostId}`);
  return found.length > 0;
}

/** Makes room for the samples of tomorrow. Does nothing when it is there. */
export async function emptyTomorrowsSamples(db: Db): Promise<void> {
  await db.query(sql`select empty_tomorrows_samples()`);
}
