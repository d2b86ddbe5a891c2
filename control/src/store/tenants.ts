/** Reading tenants. What writes them has a file per verb. */
import { type Db, sql } from "@aerodb/db";
import type {
  InstanceId,
  Isolation,
  OperationId,
  PlanName,
  RegionName,
  TenantId,
  TenantStatus,
} from "@aerodb/model";

/** A tenant as it stands in the catalogue. */
export interface Tenant {
  readonly id: TenantId;
  readonly name: string;
  readonly plan: PlanName;
  readonly region: RegionName;
  readonly isolation: Isolation;
  readonly status: TenantStatus;
  /** Why it is in this status, when that needs saying; else empty. */
  readonly statusReason: string;
  /** Whether gateways refuse it because its isolation could not be proven. */
  readonly quarantined: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly instanceId: InstanceId;
  readonly createdAt: Date;
}

/** A tenant with what is known of the change that is under way. */
export interface TenantProgress extends Tenant {
  /** Why it should have no service; null: it should. */
  readonly suspendReason: string | null;
  readonly generation: bigint;
  readonly observedGeneration: bigint;
  readonly routeGeneration: bigint;
  /** The change that is under way; null when there is none. */
  readonly operationId: OperationId | null;
}

/** The tenant of this id or name that is not deleted. */
export async function findTenant(db: Db, idOrName: string): Promise<TenantProgress | undefined> {
  const [tenant] = await db.query<TenantProgress>(sql`
    select t.id, t.name, t.plan, t.region, t.isolation, t.status,
           status_reason_of(t) as "statusReason", t.quarantine_reason is not null as quarantined,
           t.labels, t.instance_id as "instanceId", t.created_at as "createdAt",
           t.suspend_reason as "suspendReason", t.generation,
           t.observed_generation as "observedGeneration",
           t.route_generation as "routeGeneration", o.id as "operationId"
      from tenants t
      left join operations o on o.tenant_id = t.id and o.done_at is null
     where (t.id = ${idOrName} or t.name = ${idOrName}) and t.deleted_at is null`);
  return tenant;
}

/** The tenant of this id, deleted or not. */
export async function readTenant(db: Db, id: TenantId): Promise<TenantProgress | undefined> {
  const [tenant] = await db.query<TenantProgress>(sql`
    select t.id, t.name, t.plan, t.region, t.isolation, t.status,
           status_reason_of(t) as "statusReason", t.quarantine_reason is not null as quarantined,
           t.labels, t.instance_id as "instanceId", t.created_at as "createdAt",
           t.suspend_reason as "suspendReason", t.generation,
           t.observed_generation as "observedGeneration",
           t.route_generation as "routeGeneration", o.id as "operationId"
      from tenants t
      left join operations o on o.tenant_id = t.id and o.done_at is null
     where t.id = ${id}`);
  return tenant;
}

/** Which tenants a page holds. Null matches all; without a status the deleted ones are left out. */
export interface TenantQuery {
  readonly plan: string | null;
  readonly status: string | null;
  readonly isolation: string | null;
  readonly namePrefix: string;
  /** Id of the last tenant of the page before; empty at first. */
  readonly after: string;
  readonly limit: number;
}

/** A page of tenants, oldest first: ids grow with time. */
export async function listTenants(db: Db, query: TenantQuery): Promise<Tenant[]> {
  const { plan, status, isolation, namePrefix, after, limit } = query;
  if (namePrefix !== "") return listByPrefix(db, query);
  if (plan !== null && status === null) return listByPlan(db, query);
  if (status === null) {
    return db.query<Tenant>(sql`
      select id, name, plan, region, isolation, status, labels,
             status_reason_of(tenants) as "statusReason",
             quarantine_reason is not null as quarantined,
             instance_id as "instanceId", created_at as "createdAt"
        from tenants
       where deleted_at is null and id > ${after}
         and (${isolation}::text is null or isolation = ${isolation})
       order by id limit ${limit}`);
  }
  return db.query<Tenant>(sql`
    select id, name, plan, region, isolation, status, labels,
             status_reason_of(tenants) as "statusReason",
             quarantine_reason is not null as quarantined,
           instance_id as "instanceId", created_at as "createdAt"
      from tenants
     where status = ${status} and id > ${after}
       and (${plan}::text is null or plan = ${plan})
       and (${isolation}::text is null or isolation = ${isolation})
     order by id limit ${limit}`);
}

async function listByPlan(db: Db, query: TenantQuery): Promise<Tenant[]> {
  const { plan, isolation, after, limit } = query;
  return db.query<Tenant>(sql`
    select id, name, plan, region, isolation, status, labels,
             status_reason_of(tenants) as "statusReason",
             quarantine_reason is not null as quarantined,
           instance_id as "instanceId", created_at as "createdAt"
      from tenants
     where plan = ${plan} and deleted_at is null and id > ${after}
       and (${isolation}::text is null or isolation = ${isolation})
     order by id limit ${limit}`);
}

/** Names are of `a-z0-9-` in byte order, so those with a prefix lie between it and `prefix~`. */
async function listByPrefix(db: Db, query: TenantQuery): Promise<Tenant[]> {
  const { plan, status, isolation, namePrefix, after, limit } = query;
  return db.query<Tenant>(sql`
    select id, name, plan, region, isolation, status, labels,
             status_reason_of(tenants) as "statusReason",
             quarantine_reason is not null as quarantined,
           instance_id as "instanceId", created_at as "createdAt"
      from tenants
     where name >= ${namePrefix} and name < ${`${namePrefix}~`} and id > ${after}
       and case when ${status}::text is null then deleted_at is null else status = ${status} end
       and (${plan}::text is null or plan = ${plan})
       and (${isolation}::text is null or isolation = ${isolation})
     order by id limit ${limit}`);
}
