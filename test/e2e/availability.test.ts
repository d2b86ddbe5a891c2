/** Who could be reached, and what needs a look, as operators and tenants see it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePorts, releasePorts } from "../free-ports.ts";
import { usePlatform } from "../platform.ts";
import { type AnyBody, queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

const [metricsPort = 0] = await freePorts(1);
const platform = usePlatform({
  environment: {
    AERODB_GATEWAY_WATCH_SECONDS: "1",
    AERODB_CONTROL_METRICS_PORT: String(metricsPort),
  },
});
let acme: Tenant;
let free: Tenant;

beforeAll(async () => {
  acme = await platform().createTenant({ name: "acme", plan: "pro" });
  free = await platform().createTenant({ name: "free-one" });
});

afterAll(() => releasePorts([metricsPort]));

async function availability(
  tenant: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: AnyBody }> {
  return platform().request("GET", `/v1/tenants/${tenant}/availability`, undefined, headers);
}

async function untilKnown(seconds: number): Promise<AnyBody> {
  const { body: before } = await availability("acme");
  return until(`${seconds} more seconds to be known`, async () => {
    const { body } = await availability("acme");
    return (body.known_minutes - before.known_minutes) * 60 >= seconds && body;
  });
}

test("tenants that nobody uses are watched, and what each plan promises is told", async () => {
  expect(await untilKnown(2)).toMatchObject({
    ...{ tenant_id: acme.tenant_id, down_minutes: 0, available_percent: 100 },
    ...{ promised_percent: 99.9, incidents: [] },
  });
  const { body } = await availability(free.tenant_id);
  expect(body).toMatchObject({ down_minutes: 0, available_percent: 100 });
  expect(body.promised_percent).toBeUndefined();
});

test("a planned restart uses up nothing, and a wrong password neither", async () => {
  const session = await platform().connect(acme.connection.uri);
  const { status } = await platform().request("POST", "/v1/tenants/acme:restart");
  expect(status).toBe(200);
  expect((await session.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  const wrong = acme.connection.uri.replace(/:[^:@]+@/, ":wrong@");
  await expect(queryOnce(wrong, "select 1")).rejects.toMatchObject({ code: "28P01" });
  const found = await untilKnown(3);
  expect(found).toMatchObject({ down_minutes: 0, available_percent: 100 });
  expect(found.error_budget_left_minutes).toBe(found.error_budget_minutes);
});

test("a tenant's key sees its own availability and no alerts", async () => {
  const scopes = [`tenant:${acme.tenant_id}`];
  const { body: made } = await platform().request("POST", "/v1/keys", { name: "own", scopes });
  const own = { authorization: `Bearer ${made.secret}` };
  expect((await availability("acme", own)).status).toBe(200);
  expect((await availability(free.tenant_id, own)).status).toBe(404);
  const alerts = await platform().request("GET", "/v1/alerts", undefined, own);
  expect(alerts.status).toBe(403);
});

test("the same is told by the command line, and to a collector of metrics", async () => {
  const shown = await platform().cli(["availability", "acme"]);
  expect(shown.code).toBe(0);
  expect(shown.stdout).toMatch(/^available: 100 % of [\d.]+ minutes$/m);
  expect(shown.stdout).toMatch(/^promised: 99.9 %: of [\d.]+ minutes that it may be down/m);
  const json = await platform().cli(["availability", "acme", "--output", "json"]);
  expect(JSON.parse(json.stdout)).toMatchObject({ tenant_id: acme.tenant_id, down_minutes: 0 });
  const alerts = await platform().cli(["alerts", "list", "--all", "--output", "json"]);
  const rules = JSON.parse(alerts.stdout).map(({ rule }: AnyBody) => rule);
  // A machine whose disk is nearly full is none of the test's business.
  expect(rules.filter((rule: string) => !rule.startsWith("disk_"))).toEqual([]);
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  const text = await response.text();
  expect(text).toContain('aerodb_alerts_open{rule="tenant_unreachable",severity="critical"} 0\n');
  expect(text).toContain('aerodb_tenant_down_seconds{planned="false"} 0\n');
  expect(text).toMatch(/^aerodb_availability_known_timestamp_seconds \d/m);
});
