/**
 * Kills control at each step of taking in what gateways watched, and of alerts, that its source
 * names. No second is lost, and each alert is opened once and closed once.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import type { AnyBody, Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { openCatalogue } from "./catalogue.ts";
import { failpointsOf } from "./failpoints.ts";
import { killOrders } from "./kill-orders.ts";

const STEPS = failpointsOf("control").filter((name) => /^control\.(watched|alerts)\./.test(name));
const RULE = "error_budget_spent";

const orders = killOrders();
const platform = usePlatform({
  environment: { ...orders.environment, AERODB_GATEWAY_WATCH_SECONDS: "1" },
});
let catalogue: pg.Client;
let tenant: Tenant;

beforeAll(async () => {
  tenant = await platform().createTenant({ name: "acme", plan: "pro" });
  catalogue = await openCatalogue(platform());
  // As if it had been there all month: only what was promised then can be broken.
  await catalogue.query(
    `insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
     select tenant_id, date_trunc('month', now(), 'UTC'), plan, tenant_name, isolation
       from tenant_terms where tenant_id = $1`,
    [tenant.tenant_id],
  );
});
afterAll(() => catalogue.end());

async function get(path: string): Promise<AnyBody> {
  const { status, body } = await platform().request("GET", path);
  return status === 200 ? body : undefined;
}

/** Asks for the job as the clock would, until the alert is open, or is not. */
async function untilOpen(open: boolean): Promise<void> {
  await until(`the alert to be ${open ? "open" : "closed"}`, async () => {
    await catalogue.query("select graphile_worker.add_job('evaluate_alerts')");
    const found = await get(`/v1/alerts?rule=${RULE}&subject=${tenant.tenant_id}`);
    return found?.alerts.length === (open ? 1 : 0);
  });
}

/** A tenant that was down for longer than it may be, all month, or was not. */
async function setSpent(spent: boolean): Promise<void> {
  const text = spent
    ? `insert into unreached_times (month, tenant_id, cause, times)
       select m, $1, 'busy', tstzmultirange(tstzrange(m, m + interval '1 hour'))
         from date_trunc('month', now(), 'UTC') m`
    : "delete from unreached_times where tenant_id = $1 and cause = 'busy'";
  await catalogue.query(text, [tenant.tenant_id]);
}

async function eventsOfAlerts(): Promise<readonly string[]> {
  const found = await get(`/v1/events?kind=alert.&subject=${tenant.tenant_id}&page_size=1000`);
  return found.events
    .filter(({ before, after }: AnyBody) => (after ?? before).rule === RULE)
    .map(({ kind }: AnyBody) => kind);
}

async function availability(): Promise<AnyBody> {
  return get("/v1/tenants/acme/availability");
}

test.for(STEPS)("killed at %s, nothing is lost and nothing happens twice", async (step) => {
  const before = await eventsOfAlerts();
  const { known_minutes: known, unknown_minutes: unknown } = await availability();
  orders.give({ control: step, agent: undefined });
  await setSpent(true);
  await untilOpen(true);
  await orders.carriedOut(platform());
  await platform().ready();
  await setSpent(false);
  await untilOpen(false);
  expect(await eventsOfAlerts()).toEqual(["alert.close", "alert.open", ...before]);
  await until("more seconds to be known", async () => {
    return ((await availability())?.known_minutes ?? 0) > known + 2 / 60;
  });
  const after = await availability();
  // A machine that stands still for a second leaves that second unknown, whoever is killed.
  const log = readFileSync(join(platform().home, "logs", "gateway.log"), "utf8");
  if (!log.includes("time stood still")) expect(after.unknown_minutes).toBeCloseTo(unknown);
  expect(after.down_minutes).toBe(0);
  platform().output = "";
});
