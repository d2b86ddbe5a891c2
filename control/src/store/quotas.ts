import { type Db, sql } from "@aerodb/db";
import type { QuotaResource, QuotaStage, TenantId } from "@aerodb/model";

/** How far a tenant is from one of its quotas. */
export interface QuotaStanding {
  readonly tenantId: TenantId;
  readonly resource: QuotaResource;
  /** Undefined: unlimited. */
  readonly quota: bigint | undefined;
  /** Whether the quota is the tenant's own, and not that of its plan. */
  readonly overridden: boolean;
  readonly used: bigint;
  /** When that was last read; undefined: nothing was read yet. */
  readonly usedAt: Date | undefined;
  readonly stage: QuotaStage;
  /** Since when it is in its stage; undefined where it is well within. */
  readonly since: Date | undefined;
}

interface StandingRow extends Omit<QuotaStanding, "quota" | "usedAt" | "since"> {
  readonly quota: bigint | null;
  readonly usedAt: Date | null;
  readonly since: Date | null;
}

/** Every quota of a tenant. */
export async function listQuotaStandings(db: Db, tenantId: TenantId): Promise<QuotaStanding[]> {
  const rows = await db.query<StandingRow>(sql`
    select tenant_id as "tenantId", resource, quota, overridden, used, used_at as "usedAt",
           stage, since
      from quota_standings where tenant_id = ${tenantId}`);
  return rows.map(standingOf);
}

/** The standings of all tenants that are, or may be, anywhere but well within. */
export async function listTightStandings(db: Db): Promise<QuotaStanding[]> {
  const rows = await db.query<StandingRow>(sql`
    select tenant_id as "tenantId", resource, quota, overridden, used, used_at as "usedAt",
           stage, since
      from quota_standings
     where stage <> 'within' or used >= quota / 2`);
  return rows.map(standingOf);
}

function standingOf(row: StandingRow): QuotaStanding {
  return {
    ...row,
    quota: row.quota ?? undefined,
    usedAt: row.usedAt ?? undefined,
    since: row.since ?? undefined,
  };
}

/** Writes down that a tenant entered another stage, and an event of it. Repeatable. */
export async function writeQuotaStage(
  db: Db,
  standing: QuotaStanding,
  stage: QuotaStage,
): Promise<void> {
  const { tenantId, resource, used } = standing;
  const quota = standing.quota ?? null;
  await db.query(sql`
    with earlier as (
      select stage from quota_stages where tenant_id = ${tenantId} and resource = ${resource}
    ), entered as (
      insert into quota_stages as s (tenant_id, resource, stage)
      select ${tenantId}, ${resource}, ${stage} where ${stage} <> 'within'
      on conflict (tenant_id, resource) do update
        set stage = excluded.stage, since = now() where s.stage <> excluded.stage
      returning stage
    ), left_all as (
      delete from quota_stages
       where tenant_id = ${tenantId} and resource = ${resource} and ${stage} = 'within'
      returning stage
    )
    insert into events (actor, kind, subject, before, after)
    select 'system', 'quota.' || ${stage}, ${tenantId},
           json_build_object('stage', coalesce((select stage from earlier), 'within')),
           json_build_object('resource', ${resource}::text, 'stage', ${stage}::text,
                             'used', ${used}::bigint, 'quota', ${quota}::bigint)
     where exists (select from entered) or exists (select from left_all)`);
}

/** A tenant whose writes are refused, or not, other than what it uses asks for. */
export interface WritesDisagreement {
  readonly tenantId: TenantId;
  /** What it uses asks for this: its storage quota, its spend cap, or both. */
  readonly refused: boolean;
  readonly stored: bigint;
  readonly storageQuota: bigint | undefined;
  readonly spent: bigint;
  readonly spendCap: bigint | undefined;
}

interface WritesRow extends Omit<WritesDisagreement, "storageQuota" | "spendCap"> {
  readonly storageQuota: bigint | null;
  readonly spendCap: bigint | null;
}

/** Of all tenants, or of one. */
export async function listWritesDisagreements(
  db: Db,
  tenantId: TenantId | undefined,
): Promise<WritesDisagreement[]> {
  const rows = await db.query<WritesRow>(sql`
    select t.id as "tenantId", wish.refused, storage.used as stored,
           storage.quota as "storageQuota", spend.used as spent, spend.quota as "spendCap"
      from tenants t
     cross join lateral (
       select exists (select from quota_stages s
                       where s.tenant_id = t.id and s.stage = 'reached'
                         and s.resource in ('storage_bytes', 'spend_micro_usd_per_month'))
              as refused) wish
      join quota_standings storage
        on storage.tenant_id = t.id and storage.resource = 'storage_bytes'
      join quota_standings spend
        on spend.tenant_id = t.id and spend.resource = 'spend_micro_usd_per_month'
     where t.status in ('active', 'suspended') and t.writes_refused <> wish.refused
       and (${tenantId ?? null}::text is null or t.id = ${tenantId ?? null})`);
  return rows.map(({ storageQuota, spendCap, ...row }) => ({
    ...row,
    storageQuota: storageQuota ?? undefined,
    spendCap: spendCap ?? undefined,
  }));
}

/** A quota of a tenant's own; undefined: unlimited. */
export interface QuotaOverride {
  readonly resource: QuotaResource;
  readonly quota: bigint | undefined;
}

/**
 * Puts these overrides, and this grace, in the place of all that a tenant has. Nothing is written
 * on a repeat.
 */
export async function writeQuotaOverrides(
  db: Db,
  change: {
    readonly tenantId: TenantId;
    readonly overrides: readonly QuotaOverride[];
    /** After how long at a quota it is suspended; of which undefined: never. */
    readonly grace: { readonly seconds: number | undefined } | undefined;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<void> {
  const { tenantId, overrides, grace } = change;
  const hasGrace = grace !== undefined;
  const graceSeconds = grace?.seconds ?? null;
  const resources = overrides.map(({ resource }) => resource);
  const quotas = overrides.map(({ quota }) => quota ?? null);
  await db.query(sql`
    with tenant as (
      select id from tenants where id = ${tenantId} and deleted_at is null for update
    ), asked as (
      select * from unnest(${resources}::text[], ${quotas}::bigint[]) as a (resource, quota)
    ), earlier as (
      select coalesce((select jsonb_object_agg(o.resource, o.quota)
                         from quota_overrides o, tenant where o.tenant_id = tenant.id), '{}')
             || coalesce((select jsonb_build_object('grace_seconds', g.grace_seconds)
                            from quota_graces g, tenant where g.tenant_id = tenant.id), '{}')
             as quotas
    ), later as (
      select coalesce((select jsonb_object_agg(resource, quota) from asked), '{}')
             || case when ${hasGrace}::boolean
                     then jsonb_build_object('grace_seconds', ${graceSeconds}::bigint)
                     else '{}' end as quotas
    ), ungraced as (
      delete from quota_graces g using tenant
       where g.tenant_id = tenant.id and not ${hasGrace}::boolean
    ), graced as (
      insert into quota_graces (tenant_id, grace_seconds)
      select tenant.id, ${graceSeconds}::bigint from tenant where ${hasGrace}::boolean
      on conflict (tenant_id) do update set grace_seconds = excluded.grace_seconds
    ), dropped as (
      delete from quota_overrides o using tenant
       where o.tenant_id = tenant.id and o.resource not in (select resource from asked)
    ), kept as (
      insert into quota_overrides (tenant_id, resource, quota)
      select tenant.id, a.resource, a.quota from tenant, asked a
      on conflict (tenant_id, resource) do update set quota = excluded.quota
    )
    insert into events (actor, kind, subject, before, after, request_id)
    select ${change.principal}, 'quota.override', tenant.id, earlier.quotas, later.quotas,
           ${change.eventRequestId}
      from tenant, earlier, later where earlier.quotas <> later.quotas`);
}
