import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";

/** Notes who ordered what to be removed from a host, or what became of that. */
export async function insertSweepEvent(
  db: Db,
  event: {
    readonly kind: "host.sweep" | "host.swept";
    readonly hostId: HostId;
    readonly principal: string;
    readonly requestId: string;
    readonly what: object;
  },
): Promise<void> {
  await db.query(sql`
    insert into events (actor, kind, subject, after, request_id)
    values (${event.principal}, ${event.kind}, ${event.hostId},
            ${JSON.stringify(event.what)}::jsonb, ${event.requestId})`);
}
