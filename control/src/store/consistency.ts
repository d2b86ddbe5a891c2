/** Whether the catalogue agrees with itself, and what it says of hosts. Read-only. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, TenantId } from "@aerodb/model";

export interface Disagreement {
  readonly kind: string;
  readonly subject: string;
  readonly detail: string;
}

/** What the catalogue's own rows disagree about. Each should be empty at any moment. */
export async function findDisagreements(db: Db): Promise<Disagreement[]> {
  return db.query<Disagreement>(sql`
    select 'RESERVATION_MISMATCH' as kind, h.id as subject,
           format('%s MiB and %s thousandths of a core are reserved on %s, and its instances '
                  'reserve %s and %s.', h.reserved_memory_mib, h.reserved_cpu_millis, h.name,
                  coalesce(sum(i.memory_mib), 0), coalesce(sum(i.cpu_millis), 0)) as detail
      from hosts h left join instances i on i.host_id = h.id and i.gone_at is null
     group by h.id
    having (h.reserved_memory_mib, h.reserved_cpu_millis) is distinct from
           (coalesce(sum(i.memory_mib), 0), coalesce(sum(i.cpu_millis), 0))
    union all
    select 'TENANT_COUNT_MISMATCH', i.id,
           format('The instance counts %s tenants and holds %s.', i.tenant_count, count(t.id))
      from instances i
      left join tenants t on t.instance_id = i.id and t.deleted_at is null
     where i.gone_at is null group by i.id having i.tenant_count <> count(t.id)
    union all
    select 'STUCK_TENANT', t.id,
           format('The tenant %s is %s since %s and no operation is under way: ask again.',
                  t.name, t.status, to_char(t.updated_at at time zone 'utc',
                                            'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
      from tenants t
     where (t.status in ('creating', 'deleting')
            or t.status = 'suspended' and t.suspend_reason is null)
       and not exists (select from operations o where o.tenant_id = t.id and o.done_at is null)
    union all
    select 'QUARANTINED_TENANT', t.id,
           format('The tenant %s is not served: %s.', t.name, t.quarantine_reason)
      from tenants t where t.quarantine_reason is not null and t.deleted_at is null
    union all
    select 'OVERDUE_OPERATION', o.id,
           format('%s of %s passed its deadline%s.', o.kind, o.tenant_id,
                  coalesce(': ' || nullif(t.status_reason, ''), ''))
      from operations o join tenants t on t.id = o.tenant_id
     where o.done_at is null and o.deadline_at < now()
    union all
    select 'TENANT_WITHOUT_INSTANCE', t.id,
           format('The tenant %s lives in %s, which is %s.', t.name, i.id,
                  case when i.gone_at is null then 'to be destroyed' else 'gone' end)
      from tenants t join instances i on i.id = t.instance_id
     where t.status in ('creating', 'active', 'suspended') and i.presence = 'absent'
    union all
    select 'UNUSED_INSTANCE', i.id, 'The dedicated instance belongs to no tenant.'
      from instances i
     where not i.shared and i.gone_at is null
       and not exists (select from tenants t where t.instance_id = i.id and t.deleted_at is null)
    union all
    select 'PLACEMENT_IN_OTHER_REGION', i.id,
           format('The instance is of %s, and its host is in %s.', i.region, h.region)
      from instances i join hosts h on h.id = i.host_id
     where i.gone_at is null and i.region <> h.region`);
}

/** What one host should hold, as the catalogue has it. */
export interface HostHoldings {
  readonly hostId: HostId;
  readonly instances: readonly {
    readonly id: InstanceId;
    readonly presence: "present" | "absent";
    readonly state: string;
  }[];
  readonly tenants: readonly {
    readonly id: TenantId;
    readonly instanceId: InstanceId;
    readonly status: "creating" | "active" | "suspended" | "deleting";
  }[];
}

export async function readHoldings(db: Db, hostIds: readonly HostId[]): Promise<HostHoldings[]> {
  return db.query<HostHoldings>(sql`
    select h.id as "hostId",
      (select coalesce(json_agg(json_build_object(
                'id', i.id, 'presence', i.presence, 'state', i.observed_state)), '[]')
         from instances i where i.host_id = h.id and i.gone_at is null) as instances,
      (select coalesce(json_agg(json_build_object(
                'id', t.id, 'instanceId', t.instance_id, 'status', t.status)), '[]')
         from instances i join tenants t on t.instance_id = i.id
        where i.host_id = h.id and t.deleted_at is null) as tenants
      from hosts h where h.id = any (${hostIds}::text[])`);
}
