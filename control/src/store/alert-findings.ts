/** What each rule of alerts finds, as one statement over the catalogue. Read-only. */
import { type Db, sql } from "@aerodb/db";
import { causesOf, type QuotaStage } from "@aerodb/model";
import type { AlertFinding } from "./alerts.ts";

const UNPLANNED = causesOf("unplanned");

/**
 * Tenants to whom nobody has got through for longer than so many seconds, until they have been
 * reached for as long. While no gateway tells anything, what was found last stays; what they tell
 * late, once they come back, opens none.
 */
export function findUnreachableTenants(db: Db, seconds: number): Promise<AlertFinding[]> {
  return db.query(sql`
    with told as (
      select max(upper(times)) as at, array_agg(distinct month) as months from watched_times
       where month >= date_trunc('month', now() - interval '1 day', 'UTC')
    ), recent as (
      select distinct u.tenant_id from unreached_times u, told
       where u.last_at >= told.at - make_interval(secs => ${seconds})
         and u.cause = any(${UNPLANNED}::text[])
    ), lasting as (
      select u.tenant_id, range_agg(u.times) as times
        from unreached_times u join recent using (tenant_id), told
       where u.month = any(told.months) and u.cause = any(${UNPLANNED}::text[])
       group by u.tenant_id
    )
    select t.id as subject,
           l.until - l.since > make_interval(secs => ${seconds})
             and told.at > now() - interval '5 minutes' as opens,
           format('Nobody has got through to the tenant %s since %s.', t.name,
                  to_char(l.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) as detail
      from told, lasting m join tenants t on t.id = m.tenant_id, lateral (
        select lower(i) as since, upper(i) as until from unnest(m.times) i
         order by i desc limit 1) l
     where t.status = 'active'`);
}

/** Tenants that are not served because their isolation could not be proven. */
export function findQuarantinedTenants(db: Db): Promise<AlertFinding[]> {
  return db.query(sql`
    select id as subject, true as opens,
           format('The tenant %s is not served: %s.', name, rtrim(quarantine_reason, '.'))
             as detail
      from tenants where quarantine_reason is not null and deleted_at is null`);
}

/** Tenants that are in a stage of a quota. */
export function findQuotaStages(db: Db, stage: QuotaStage): Promise<AlertFinding[]> {
  return db.query(sql`
    select t.id as subject, true as opens,
           format('The tenant %s %s: %s.', t.name,
                  case when ${stage} = 'reached' then 'has used up what it may'
                       else 'has used most of what it may' end,
                  string_agg(s.resource, ', ' order by s.resource)) as detail
      from quota_stages s join tenants t on t.id = s.tenant_id
     where s.stage = ${stage} and t.status in ('active', 'suspended')
     group by t.id`);
}

/**
 * Tenants whose plan's promise would be broken soon: a tenth of the minutes that may be down in a
 * month were, within the last hour. It lasts until that is half as much.
 */
export function findBudgetBurns(db: Db): Promise<AlertFinding[]> {
  return db.query(sql`
    with down as materialized (
      select u.tenant_id, range_agg(u.times)
               * tstzmultirange(tstzrange(now() - interval '1 hour', now())) as times
        from unreached_times u
       where u.last_at > now() - interval '1 hour'
         and u.cause = any(${UNPLANNED}::text[])
       group by u.tenant_id
    ), burnt as materialized (
      select p.tenant_id, seconds_of(down.times * p.times) as seconds
        from promised_times((select array_agg(tenant_id) from down),
                            date_trunc('month', now(), 'UTC')) p
        join down on down.tenant_id = p.tenant_id
    )
    select t.id as subject, d.seconds >= b.seconds * 0.1 as opens,
           format('The tenant %s was down for %s of the %s minutes that it may be in the month, '
                  'within the last hour.', t.name, round((d.seconds / 60)::numeric, 1),
                  round((b.seconds / 60)::numeric, 1)) as detail
      from error_budgets((select array_agg(tenant_id) from burnt),
                         date_trunc('month', now(), 'UTC')) b
      join burnt d on d.tenant_id = b.tenant_id
      join tenants t on t.id = b.tenant_id
     where d.seconds >= b.seconds * 0.05 and t.deleted_at is null`);
}

/** Tenants whose plan's promise is broken this month. */
export function findSpentBudgets(db: Db): Promise<AlertFinding[]> {
  return db.query(sql`
    with down as materialized (
      select u.tenant_id, range_agg(u.times) as times
        from unreached_times u
       where u.month = date_trunc('month', now(), 'UTC') and u.cause = any(${UNPLANNED}::text[])
       group by u.tenant_id
    ), used as materialized (
      select p.tenant_id, seconds_of(down.times * p.times) as seconds
        from promised_times((select array_agg(tenant_id) from down),
                            date_trunc('month', now(), 'UTC')) p
        join down on down.tenant_id = p.tenant_id
    )
    select t.id as subject, true as opens,
           format('The tenant %s was down for %s minutes this month, and may be for %s.', t.name,
                  round((d.seconds / 60)::numeric, 1), round((b.seconds / 60)::numeric, 1))
             as detail
      from error_budgets((select array_agg(tenant_id) from used),
                         date_trunc('month', now(), 'UTC')) b
      join used d on d.tenant_id = b.tenant_id
      join tenants t on t.id = b.tenant_id
     where d.seconds > b.seconds and t.deleted_at is null`);
}

/**
 * Hosts whose agent has not been heard for longer than so many seconds, of which the catalogue was
 * there to hear them.
 */
export function findSilentHosts(db: Db, seconds: number): Promise<AlertFinding[]> {
  return db.query(sql`
    select h.id as subject, true as opens,
           format('The agent of the host %s has not been heard since %s.', h.name,
                  to_char(h.last_seen_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
             as detail
      from hosts h, alert_passes p
     where h.revoked_at is null and h.removed_at is null and h.last_seen_at is not null
       and greatest(h.last_seen_at, p.since) < now() - make_interval(secs => ${seconds})`);
}

/** Hosts whose disk is used to so many percent, until it is used to fewer than so many. */
export function findFullDisks(
  db: Db,
  percent: { readonly from: number; readonly until: number },
): Promise<AlertFinding[]> {
  return db.query(sql`
    select h.id as subject, d.percent >= ${percent.from} as opens,
           format('The disk of the host %s is used to %s %%.', h.name,
                  round(d.percent::numeric, 1)) as detail
      from hosts h, lateral (
        select 100 * (1 - (s.readings ->> 'disk_free_bytes')::float8
                          / nullif((s.readings ->> 'disk_total_bytes')::float8, 0)) as percent
          from samples s
         where s.subject = h.id and s.at > now() - interval '48 hours'
           and s.readings ? 'disk_free_bytes'
         order by s.at desc limit 1) d
     where h.removed_at is null and d.percent >= ${percent.until}`);
}

/**
 * Hosts and gateways whose certificate is to end: of a certificate of the platform less than a
 * sixth of its life is left, which it should have been renewed long before; one that a gateway
 * shows to clients ends within two weeks.
 */
export function findEndingCertificates(db: Db): Promise<AlertFinding[]> {
  return db.query(sql`
    with peers as (
      select id, name from hosts where revoked_at is null and removed_at is null
      union all
      select id, name from gateways where revoked_at is null
    ), ending as (
      select p.id, p.name, 'with which it proves itself' as what, c.expires_at
        from peers p, lateral (
          select issued_at, expires_at from certificates
           where subject = p.id and refused_at is null order by expires_at desc limit 1) c
       where c.expires_at - now() < (c.expires_at - c.issued_at) / 6
      union all
      select id, name, 'that it shows to clients', certificate_ends_at
        from gateways
       where revoked_at is null and certificate_ends_at < now() + interval '14 days'
    )
    select id as subject, true as opens,
           string_agg(format('The certificate of %s %s ends at %s.', name, what,
             to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), ' '
             order by expires_at) as detail
      from ending group by id`);
}

/**
 * Tenants of whom backups are kept, and whose last was completed longer than so many hours ago.
 * Records are by the hour, so it may be one more.
 */
export function findOverdueBackups(db: Db, hours: number): Promise<AlertFinding[]> {
  return db.query(sql`
    select t.id as subject, true as opens,
           format('No backup of the tenant %s was completed for %s hours.', t.name,
                  ${hours}::integer) as detail
      from usage_gauges g join tenants t on t.id = g.tenant_id
     where g.meter = 'backup_bytes' and t.status in ('active', 'suspended')
       and t.created_at < now() - make_interval(hours => ${hours})
       and not exists (
         select from usage_records r
          where r.tenant_id = g.tenant_id and r.meter = 'backups_completed' and r.amount > 0
            and r.hour > now() - make_interval(hours => ${hours} + 1))`);
}
