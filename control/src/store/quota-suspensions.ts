/** Who may have to be suspended for a quota, or given service back. */
import { type Db, sql } from "@aerodb/db";
import type { QuotaResource, TenantId } from "@aerodb/model";

export interface SuspensionRow {
  readonly tenantId: TenantId;
  /** Whether it is suspended for a quota; if not, it is served. */
  readonly suspended: boolean;
  readonly reinstatedAt: Date | null;
  /** Whether it has a grace of its own, and which; null: never. */
  readonly graceOverridden: boolean;
  readonly graceSeconds: number | null;
  /** What it uses all of. */
  readonly reached: readonly {
    readonly resource: QuotaResource;
    readonly used: bigint;
    readonly quota: bigint;
    readonly since: Date;
  }[];
  /** By the catalogue's clock. */
  readonly now: Date;
}

interface ReachedJson {
  readonly resource: QuotaResource;
  readonly used: string;
  readonly quota: string;
  readonly since: string;
}

/**
 * Tenants that are served and use all of a quota, and those that a quota had suspended; of all
 * tenants, or of one. Whom somebody suspended by hand is not among them.
 */
export async function listSuspensionRows(
  db: Db,
  tenantId: TenantId | undefined,
): Promise<readonly SuspensionRow[]> {
  const rows = await db.query<
    Omit<SuspensionRow, "reached"> & { readonly reached: readonly ReachedJson[] }
  >(sql`
    select t.id as "tenantId", t.status = 'suspended' as suspended,
           t.reinstated_at as "reinstatedAt", g.tenant_id is not null as "graceOverridden",
           g.grace_seconds::float8 as "graceSeconds", now() as now,
           coalesce(
             (select json_agg(json_build_object('resource', q.resource, 'used', q.used::text,
                                                'quota', q.quota::text, 'since', q.since)
                              order by q.resource)
                from quota_standings q
               where q.tenant_id = t.id and q.stage = 'reached' and q.quota is not null),
             '[]') as reached
      from tenants t left join quota_graces g on g.tenant_id = t.id
     where (${tenantId ?? null}::text is null or t.id = ${tenantId ?? null})
       and (t.status = 'active' and exists (select from quota_stages s
                                             where s.tenant_id = t.id and s.stage = 'reached')
            or t.status = 'suspended' and t.suspended_by_quota and t.suspend_reason is not null)
     order by t.id`);
  return rows.map((row) => ({ ...row, reached: row.reached.map(reachedOf) }));
}

function reachedOf({ resource, used, quota, since }: ReachedJson): SuspensionRow["reached"][0] {
  return { resource, used: BigInt(used), quota: BigInt(quota), since: new Date(since) };
}

/** What grace a tenant has, when it was last given service back, and who had it suspended. */
export interface TenantGrace {
  readonly graceOverridden: boolean;
  readonly graceSeconds: number | null;
  readonly reinstatedAt: Date | null;
  readonly suspendedByQuota: boolean;
}

export async function readTenantGrace(db: Db, tenantId: TenantId): Promise<TenantGrace> {
  const [row] = await db.query<TenantGrace>(sql`
    select g.tenant_id is not null as "graceOverridden",
           g.grace_seconds::float8 as "graceSeconds", t.reinstated_at as "reinstatedAt",
           t.suspended_by_quota and t.suspend_reason is not null as "suspendedByQuota"
      from tenants t left join quota_graces g on g.tenant_id = t.id where t.id = ${tenantId}`);
  const none = { graceOverridden: false, graceSeconds: null, reinstatedAt: null };
  return row ?? { ...none, suspendedByQuota: false };
}
