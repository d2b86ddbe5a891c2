import { type Db, sql } from "@aerodb/db";
import type { GatewayId } from "@aerodb/model";

/** A gateway as it stands in the catalogue. */
export interface Gateway {
  readonly id: GatewayId;
  readonly name: string;
  readonly version: string;
  readonly connected: boolean;
  /** Null: it has never dialled. */
  readonly lastSeenAt: Date | null;
  readonly revokedAt: Date | null;
}

/** Every gateway, the oldest first. */
export function listGateways(db: Db): Promise<Gateway[]> {
  return db.query<Gateway>(sql`
    select id, name, version, connected_at is not null and revoked_at is null as connected,
           last_seen_at as "lastSeenAt", revoked_at as "revokedAt"
      from gateways order by id`);
}

/** Whether there is such a gateway. */
export async function isGateway(db: Db, gatewayId: GatewayId): Promise<boolean> {
  const found = await db.query(sql`select id from gateways where id = ${gatewayId}`);
  return found.length === 1;
}

/** False when the catalogue knows no such gateway. */
export async function markGatewayConnected(
  db: Db,
  gatewayId: GatewayId,
  version: string,
): Promise<boolean> {
  const marked = await db.query(sql`
    update gateways set connected_at = now(), last_seen_at = now(), version = ${version}
     where id = ${gatewayId}
    returning id`);
  return marked.length === 1;
}

export async function markGatewayDisconnected(db: Db, gatewayId: GatewayId): Promise<void> {
  await db.query(sql`
    update gateways set connected_at = null, last_seen_at = now() where id = ${gatewayId}`);
}
