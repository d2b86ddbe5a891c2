/** Gateways that watched for a while, for tests of availability and alerts. */
import { sql } from "@aerodb/db";
import type { GatewayId, TenantId } from "@aerodb/model";
import { monthOf } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { addTerms } from "./billing-fixture.ts";
import type { PlatformFixture } from "./fake-platform.ts";
import type { WatchedSpan } from "./watched.ts";

export const MINUTE_MS = 60_000;

/** A whole minute so long ago that it and those up to now are of one month where that can be. */
export function minutesAgo(minutes: number): number {
  const nowMs = now().getTime();
  const at = Math.floor(nowMs / MINUTE_MS - minutes) * MINUTE_MS;
  const { startsAt } = monthOf(new Date(nowMs));
  // In the first hours of a month, all of it is of the month before.
  return at < startsAt.getTime() ? startsAt.getTime() - 180 * MINUTE_MS : at;
}

/** The nth minute from `fromMs`, with the tenants to whom nobody got through in it. */
export function minute(
  fromMs: number,
  at: number,
  unreached: Readonly<Record<string, readonly TenantId[]>> = {},
): WatchedSpan {
  return {
    sequence: BigInt(fromMs / MINUTE_MS + at),
    startedAt: new Date(fromMs + at * MINUTE_MS),
    endedAt: new Date(fromMs + (at + 1) * MINUTE_MS),
    unreached: Object.entries(unreached).map(([cause, tenantIds]) => ({ cause, tenantIds })),
    certificateEndsAt: undefined,
  };
}

/** A gateway that has been there for long. */
export async function addOldGateway(
  { addGateway, catalogue }: PlatformFixture,
  name: string,
): Promise<GatewayId> {
  const id = await addGateway(name);
  await catalogue.database.query(sql`
    update gateways set created_at = now() - interval '39 days' where id = ${id}`);
  return id;
}

/** A tenant that has been on a plan for long. */
export async function addOldTenant(
  { create, catalogue }: PlatformFixture,
  name: string,
  plan: string,
): Promise<TenantId> {
  const { id } = await create(name, { plan, isolation: "schema" });
  const since = new Date(now().getTime() - 90 * 1_440 * MINUTE_MS).toISOString();
  await addTerms(catalogue.database, id, [[since, plan]]);
  // Its promise has been given for long, too.
  await catalogue.database.query(sql`
    insert into plan_promises (plan, active_from, available_millionths)
    select plan, date_trunc('month', now() - interval '90 days', 'UTC'), available_millionths
      from plan_promises on conflict do nothing`);
  return id;
}
