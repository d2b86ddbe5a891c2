import { type Db, sql } from "@aerodb/db";
import type { GatewayId, HostId } from "@aerodb/model";

/** One numbered reading of one meter. */
export interface UsageEvent {
  readonly sequence: bigint;
  readonly meter: string;
  readonly tenantId: string;
  readonly value: bigint;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/**
 * Keeps readings, each once. A host may speak only for tenants that live or lived on it; a gateway
 * for all. Readings of others, and those that cannot be true, are dropped. Returns how many were
 * kept.
 */
export async function insertUsage(
  db: Db,
  source: HostId | GatewayId,
  events: readonly UsageEvent[],
): Promise<number> {
  const kept = await db.query(sql`
    insert into usage_events (source, sequence, meter, tenant_id, value, started_at, ended_at)
    select ${source}, r.sequence, r.meter, r.tenant_id, r.value, r.started_at, r.ended_at
      from unnest(${events.map(({ sequence }) => sequence)}::bigint[],
                  ${events.map(({ meter }) => meter)}::text[],
                  ${events.map(({ tenantId }) => tenantId)}::text[],
                  ${events.map(({ value }) => value)}::bigint[],
                  ${events.map(({ startedAt }) => startedAt)}::timestamptz[],
                  ${events.map(({ endedAt }) => endedAt)}::timestamptz[])
           as r (sequence, meter, tenant_id, value, started_at, ended_at)
      join tenants t on t.id = r.tenant_id
      join instances i on i.id = t.instance_id
     where r.sequence > 0 and r.value >= 0 and r.ended_at >= r.started_at
       and (i.host_id = ${source} or starts_with(${source}, 'gtw_'))
    on conflict do nothing
    returning sequence`);
  return kept.length;
}
