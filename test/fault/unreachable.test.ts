/**
 * A server that is killed and kept down is one incident of the length that it had, and one alert,
 * whatever else is killed meanwhile; its neighbour has none. Minutes are a second long here.
 */
import { expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { type AnyBody, queryOnce, type Tenant } from "../platform-client.ts";
import { lives, signal } from "../processes.ts";
import { until } from "../until.ts";
import { createDedicated } from "./bystander.ts";
import { openCatalogue } from "./catalogue.ts";

const UNREACHABLE_SECONDS = 4;
const platform = usePlatform({
  environment: {
    AERODB_GATEWAY_WATCH_SECONDS: "1",
    AERODB_UNREACHABLE_SECONDS: String(UNREACHABLE_SECONDS),
  },
});

async function availability({ name }: Pick<Tenant, "name">): Promise<AnyBody> {
  const { status, body } = await platform().request("GET", `/v1/tenants/${name}/availability`);
  expect(status).toBe(200);
  return body;
}

/** Asks for what the clock would ask for every minute. */
async function evaluateAlerts(): Promise<void> {
  const catalogue = await openCatalogue(platform());
  try {
    await catalogue.query("select graphile_worker.add_job('evaluate_alerts')");
  } finally {
    await catalogue.end();
  }
}

async function alertsOf({ tenant_id }: Tenant): Promise<readonly AnyBody[]> {
  const query = new URLSearchParams({ subject: tenant_id, rule: "tenant_unreachable" });
  const path = `/v1/alerts?include_closed=true&${query}`;
  return (await platform().request("GET", path)).body.alerts;
}

/** Waits until so many more seconds of a tenant are known. */
async function watchedFor(seconds: number, tenant: Tenant): Promise<void> {
  const known = async () => (await availability(tenant)).known_minutes * 60;
  // Not before the API answers again; readyz would miss an agent that stands still.
  const before = await until("the API to answer", known, 60_000);
  await until(
    `${seconds} more seconds to be known`,
    async () => {
      return (await known()) >= before + seconds;
    },
    60_000,
  );
}

test("a server that is kept down is one incident and one alert, and its neighbour has none", async () => {
  const { tenant: neighbour } = await createDedicated(platform(), "neighbour");
  const { tenant: victim, instanceId } = await createDedicated(platform(), "victim");
  await watchedFor(2, victim);
  expect(await availability(victim)).toMatchObject({ available_percent: 100, incidents: [] });

  const [agent = 0] = platform().pids("agents");
  signal(agent, "SIGSTOP");
  const [server = 0] = platform().kill("instances", instanceId);
  await until("the server to be dead", () => !lives(server));
  const downSince = Date.now();
  const opened = await until("an alert", async () => (await alertsOf(victim))[0]);
  const { stdout: status } = await platform().cli(["status"]);
  expect(status).toContain(`Open alerts:\n  critical: Nobody has got through to the tenant`);
  expect(opened).toMatchObject({ severity: "critical" });
  expect(opened.closed_at).toBeUndefined();
  const goingOn = await availability(victim);
  expect(goingOn.incidents).toMatchObject([{ planned: false }]);
  expect(goingOn.incidents[0].ended_at).toBeUndefined();
  expect(goingOn.available_percent).toBeLessThan(100);

  for (const piece of ["gateway", "control"] as const) {
    platform().kill(piece);
    await watchedFor(2, victim);
  }
  signal(agent, "SIGCONT");
  await until("the server to answer", () => queryOnce(victim.connection.uri, "select 1 as one"));
  const upSince = Date.now();
  await until("the alert to be over", async () => {
    await evaluateAlerts();
    return (await alertsOf(victim)).every(({ closed_at }) => closed_at !== undefined);
  });

  const found = await availability(victim);
  expect(found.incidents).toHaveLength(1);
  const [incident] = found.incidents;
  const [beganAt, endedAt] = [incident.began_at, incident.ended_at].map(Date.parse) as [
    number,
    number,
  ];
  // The seconds in which it went and came may count or not.
  expect(beganAt).toBeGreaterThanOrEqual(downSince - 1_000);
  expect(endedAt).toBeLessThanOrEqual(upSince + 1_000);
  expect(endedAt - beganAt).toBeGreaterThanOrEqual(UNREACHABLE_SECONDS * 1_000);
  expect(incident).toMatchObject({ planned: false, causes: expect.arrayContaining(["no_answer"]) });
  expect(found.down_minutes * 60_000).toBeLessThanOrEqual(endedAt - beganAt);
  expect(found.error_budget_left_minutes).toBeCloseTo(
    found.error_budget_minutes - found.down_minutes,
  );
  expect(await alertsOf(victim)).toHaveLength(1);
  const query = new URLSearchParams({ subject: victim.tenant_id, kind: "alert." });
  const { body } = await platform().request("GET", `/v1/events?${query}`);
  const told = body.events
    .filter(({ before, after }: AnyBody) => (after ?? before).rule === "tenant_unreachable")
    .map(({ kind }: AnyBody) => kind);
  expect(told).toEqual(["alert.close", "alert.open"]);

  expect(await availability(neighbour)).toMatchObject({ down_minutes: 0, incidents: [] });
  expect(await alertsOf(neighbour)).toEqual([]);
  await platform().settled();
});
