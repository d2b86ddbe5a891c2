/** Where tenants are, for gateways, as of one generation. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, TenantId } from "@aerodb/model";

export type RouteState = "active" | "creating" | "suspended" | "quarantined" | "deleting" | "gone";

/** Where the connections of one tenant go. The role that may log in is the tenant's id. */
export interface Route {
  readonly tenantId: TenantId;
  readonly name: string;
  readonly state: RouteState;
  readonly instanceId: InstanceId;
  /** The newest first; all that may be in force. */
  readonly verifiers: readonly string[];
  readonly connectionLimit: number;
  /** Ids of rules about the tenant itself that do not hold, where that is why it is refused. */
  readonly brokenRules: readonly string[];
}

/** How to reach an instance. */
export interface Endpoint {
  readonly instanceId: InstanceId;
  readonly hostId: HostId;
  readonly bootId: string;
  readonly socketDirectory: string;
  readonly edgeAddress: string;
  readonly database: string;
  /** Whether it is not to be reached. */
  readonly gone: boolean;
  /** Whether that is for as long as its host is revoked. */
  readonly hostRevoked: boolean;
  /** Whether nobody may use it for a moment. */
  readonly parked: boolean;
}

/** The route table, whole or what changed, as of a generation. */
export interface RouteTable {
  readonly generation: bigint;
  readonly routes: readonly Route[];
  readonly endpoints: readonly Endpoint[];
}

/**
 * What changed after a generation; after 0 it is everything that is not gone. An instance has no
 * endpoint until its host has told where its socket is, unless to say that the host is revoked. One
 * statement, so all of it is as of its generation.
 */
export async function readRoutes(db: Db, after: bigint): Promise<RouteTable> {
  const [table] = await db.query<RouteTable>(sql`
    select p.generation,
      (select coalesce(json_agg(json_build_object(
                'tenantId', t.id, 'name', t.name, 'instanceId', t.instance_id,
                'connectionLimit', t.connection_limit,
                'verifiers', array_remove(array[t.verifier, t.previous_verifier], ''),
                'brokenRules', case when t.quarantine_reason is null then '[]'::json else (
                  select coalesce(json_agg(rule ->> 0), '[]')
                    from isolation_proofs f, jsonb_array_elements(f.rules) rule
                   where f.tenant_id = t.id and rule -> 1 <> rule -> 2
                     -- What is wrong with the server that it shares is not the tenant's to know.
                     and split_part(rule ->> 0, '.', 1) not in (
                       'instance', 'shared_tables', 'runtime')) end,
                'state', case when t.status in ('failed', 'deleted') then 'gone'
                              when t.status = 'active' and t.quarantine_reason is not null
                                then 'quarantined'
                              else t.status end)
                order by t.id), '[]')
         from tenants t
        where t.route_generation > ${after}
          and (${after}::bigint > 0 or t.deleted_at is null and t.status <> 'failed')
      ) as routes,
      (select coalesce(json_agg(json_build_object(
                'instanceId', i.id, 'hostId', i.host_id, 'bootId', h.boot_id,
                'socketDirectory', i.socket_directory, 'edgeAddress', h.edge_address,
                'database', i.database, 'parked', i.parked,
                'gone', i.gone_at is not null or h.revoked_at is not null,
                'hostRevoked', i.gone_at is null and h.revoked_at is not null)
                order by i.id), '[]')
         from instances i join hosts h on h.id = i.host_id
        where i.route_generation > ${after}
          and case when i.gone_at is null
                   then i.socket_directory <> '' or h.revoked_at is not null
                   else ${after}::bigint > 0 end
      ) as endpoints
      from platform p`);
  if (table === undefined) throw new Error("bug: the platform has no row");
  return table;
}
