import { sql } from "@aerodb/db";
import { Fault, type GatewayId, type HostId, type TenantId } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { insertSamples } from "../store/samples.ts";
import { setQuarantine } from "../store/tenant-quarantine.ts";
import { ALERT_RULES } from "./alert-rules.ts";
import { evaluateAlerts, listAlerts } from "./alerts.ts";
import { getTenantAvailability } from "./availability.ts";
import { listEvents } from "./events.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import { readPlatformMetrics } from "./platform-metrics.ts";
import { rollUpUsage } from "./usage-records.ts";
import { addOldGateway, addOldTenant, MINUTE_MS, minute } from "./watched-fixture.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let gateway: GatewayId;
let host: HostId;
let acme: TenantId;
let fromMs: number;

beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  host = (await getHost(platform.control, "h1")).id;
  gateway = await addOldGateway(platform, "g1");
  acme = await addOldTenant(platform, "acme", "pro");
  fromMs = Math.floor(Date.now() / MINUTE_MS - 8) * MINUTE_MS;
});
afterEach(() => platform.close());

/** Alerts as `rule subject`, those that are over with a dash before. */
async function alerts(): Promise<readonly string[]> {
  const page = await listAlerts(platform.control, { includeClosed: true });
  return page.alerts.map(
    ({ rule, subject, closedAt }) => `${closedAt === null ? "" : "-"}${rule} ${subject}`,
  );
}

async function events() {
  const page = await listEvents(platform.control, { kind: "alert." });
  return page.events.map(({ kind, subject }) => `${kind} ${subject}`).toReversed();
}

/** The minutes from one to before another, in each of which nobody got through to these. */
async function watched(from: number, to: number, unreached: readonly TenantId[]): Promise<void> {
  const spans = Array.from({ length: to - from }, (_, at) => {
    return minute(fromMs, from + at, unreached.length === 0 ? {} : { no_answer: unreached });
  });
  await platform.fleet.takeWatched(gateway, spans);
}

test("a tenant that is not reached for more than a minute is an alert until it is again", async () => {
  await watched(0, 3, []);
  await watched(3, 4, [acme]);
  expect(await alerts()).toEqual([]);
  await watched(4, 5, [acme]);
  expect(await alerts()).toEqual([`tenant_unreachable ${acme}`]);
  const { alerts: open } = await listAlerts(platform.control, { subject: acme });
  expect(open).toMatchObject([
    { severity: "critical", detail: expect.stringMatching(/acme since/) },
  ]);
  // No gateway tells anything: nothing is better.
  await evaluateAlerts(platform.control);
  expect(await alerts()).toContain(`tenant_unreachable ${acme}`);
  await watched(5, 7, []);
  await evaluateAlerts(platform.control);
  expect(await alerts()).toContain(`-tenant_unreachable ${acme}`);
  expect((await listAlerts(platform.control, { rule: "tenant_unreachable" })).alerts).toEqual([]);
  const mistyped = await faultOf(listAlerts(platform.control, { rule: "tenant_unreached" }));
  expect([mistyped.code, mistyped.message]).toEqual([
    "INVALID_ARGUMENT",
    expect.stringMatching(/^There is no rule "tenant_unreached": use one of tenant_unreachable, /),
  ]);
});

test("what gateways tell when it is long over opens none, and is an incident all the same", async () => {
  fromMs -= 120 * MINUTE_MS;
  await watched(0, 10, [acme]);
  await evaluateAlerts(platform.control);
  expect((await alerts()).filter((each) => each.includes("unreachable"))).toEqual([]);
  const month = new Date(fromMs).toISOString().slice(0, 7);
  const { incidents } = await getTenantAvailability(platform.control, "acme", month);
  expect(incidents).toHaveLength(1);
});

test("it is opened once and closed once, by however many that look at once", async () => {
  await watched(0, 10, [acme]);
  const looks = Array.from({ length: 4 }, () => evaluateAlerts(platform.control));
  await Promise.all(looks);
  await watched(10, 13, []);
  await Promise.all(looks.map(() => evaluateAlerts(platform.control)));
  await evaluateAlerts(platform.control);
  const page = await listEvents(platform.control, { kind: "alert.", subject: acme });
  const told = page.events
    .map(({ kind, before, after }) => `${kind} ${(after ?? before)?.["rule"]}`)
    .filter((each) => each.endsWith("tenant_unreachable"));
  expect(told).toEqual(["alert.close tenant_unreachable", "alert.open tenant_unreachable"]);
  expect((await alerts()).filter((each) => each.includes("unreachable"))).toHaveLength(1);
});

test("a pass that breaks off leaves all as it was, and the next does all of it", async () => {
  await watched(0, 1, []);
  await platform.catalogue.database.query(sql`
    insert into quota_stages (tenant_id, resource, stage)
    values (${acme}, 'storage_bytes', 'reached')`);
  const broken = ALERT_RULES.map((rule) => {
    if (rule.name !== "disk_full") return rule;
    return { ...rule, find: () => Promise.reject(new Fault("UNAVAILABLE", "broken off")) };
  });
  await expect(evaluateAlerts(platform.control, { hearsHosts: true }, broken)).rejects.toThrow();
  expect([await alerts(), await events()]).toEqual([[], []]);
  await evaluateAlerts(platform.control);
  expect(await alerts()).toEqual([`quota_reached ${acme}`]);
  await platform.catalogue.database.query(sql`
    update quota_stages set stage = 'warned' where tenant_id = ${acme}`);
  await evaluateAlerts(platform.control);
  expect(await alerts()).toEqual([`quota_warned ${acme}`, `-quota_reached ${acme}`]);
  expect(await events()).toEqual([
    `alert.open ${acme}`,
    `alert.close ${acme}`,
    `alert.open ${acme}`,
  ]);
});

test("a tenant that is not served because its walls did not hold is one until they do", async () => {
  const { database } = platform.control;
  await setQuarantine(database, acme, "1 of 3 tables has no policy");
  await evaluateAlerts(platform.control);
  const { alerts: open } = await listAlerts(platform.control, { rule: "tenant_quarantined" });
  const detail = "The tenant acme is not served: 1 of 3 tables has no policy.";
  expect(open).toMatchObject([{ subject: acme, severity: "critical", detail }]);
  await setQuarantine(database, acme, undefined);
  await evaluateAlerts(platform.control);
  expect(await alerts()).toEqual([`-tenant_quarantined ${acme}`]);
});

test("a promise that burns is an alert, and one that is broken another", async () => {
  const free = await addOldTenant(platform, "promised-nothing", "free");
  const burning = async () =>
    (await alerts()).filter((each) => each.includes("error_budget")).toSorted();
  await watched(0, 4, [acme, free]);
  await evaluateAlerts(platform.control);
  expect(await burning(), "four of some 43 minutes").toEqual([]);
  await watched(4, 6, [acme, free]);
  await evaluateAlerts(platform.control);
  expect(await burning()).toEqual([`error_budget_burn ${acme}`]);
  await platform.catalogue.database.query(sql`
    insert into unreached_times (month, tenant_id, cause, times)
    select m.month, ${acme}, 'busy',
           tstzmultirange(tstzrange(m.month, m.month + interval '50 minutes'))
      from (select date_trunc('month', now(), 'UTC') as month) m`);
  await evaluateAlerts(platform.control);
  expect(await burning()).toEqual([`error_budget_burn ${acme}`, `error_budget_spent ${acme}`]);
});

test("what was down while nothing was promised uses nothing of what a later plan promises", async () => {
  const grew = await addOldTenant(platform, "grew", "free");
  await watched(0, 6, [acme, grew]);
  await platform.catalogue.database.query(sql`
    insert into unreached_times (month, tenant_id, cause, times)
    select m.month, ${grew}, 'busy',
           tstzmultirange(tstzrange(m.month, least(m.month + interval '50 minutes', now())))
      from (select date_trunc('month', now(), 'UTC') as month) m`);
  await platform.tenants.update(tester, "grew", { plan: "pro" });
  await evaluateAlerts(platform.control);
  const found = (await alerts()).filter((each) => each.includes("error_budget"));
  expect(found).toEqual([`error_budget_burn ${acme}`]);
  const { promise } = await getTenantAvailability(platform.control, "grew", "");
  expect(promise?.leftMinutes).toBe(promise?.budgetMinutes);
  const { downTimes } = await readPlatformMetrics(platform.control);
  const [down] = downTimes.filter(({ tenantId }) => tenantId === grew);
  expect(down).toMatchObject({ budgetUsedSeconds: 0 });
  expect(down?.budgetSeconds).toBeGreaterThan(0);
});

test("a host that is not heard is one, unless the catalogue could not hear it", async () => {
  const { database } = platform.catalogue;
  const silence = () =>
    database.query(sql`update hosts set last_seen_at = now() - interval '2 minutes'`);
  await silence();
  await evaluateAlerts(platform.control, { hearsHosts: false });
  await evaluateAlerts(platform.control);
  // This was the first pass: before, nobody could have heard it.
  expect(await alerts()).toEqual([]);
  await database.query(sql`update alert_passes set since = now() - interval '90 seconds'`);
  await silence();
  await evaluateAlerts(platform.control);
  expect(await alerts()).toEqual([`host_unreachable ${host}`]);
  await evaluateAlerts(platform.control, { hearsHosts: false });
  expect(await alerts()).toEqual([`host_unreachable ${host}`]);
  await database.query(sql`update hosts set last_seen_at = now()`);
  await evaluateAlerts(platform.control);
  expect(await alerts()).toEqual([`-host_unreachable ${host}`]);
});

test("a disk is one when it fills, and is none again only when it is well below", async () => {
  let sequence = 0n;
  async function fill(percent: number): Promise<readonly string[]> {
    sequence += 1n;
    const readings = { disk_total_bytes: 1_000, disk_free_bytes: 1_000 - percent * 10 };
    const subject = { instanceId: "", tenantId: "", statements: [] };
    const at = new Date(Date.now() - 60_000 + Number(sequence));
    await insertSamples(platform.control.database, host, [
      { sequence, at, seconds: 10, readings, ...subject },
    ]);
    await evaluateAlerts(platform.control);
    const { alerts: open } = await listAlerts(platform.control, {});
    return open.map(({ rule }) => rule).toSorted();
  }
  expect(await fill(79)).toEqual([]);
  expect(await fill(80)).toEqual(["disk_filling"]);
  expect(await fill(76)).toEqual(["disk_filling"]);
  expect(await fill(96)).toEqual(["disk_filling", "disk_full"]);
  expect(await fill(91)).toEqual(["disk_filling", "disk_full"]);
  expect(await fill(89)).toEqual(["disk_filling"]);
  expect(await fill(60)).toEqual([]);
});

test("a certificate is one that was not renewed, or that clients will not take for long", async () => {
  const { database } = platform.catalogue;
  await database.query(sql`
    insert into certificates (serial, subject, public_key_sha256, issued_at, expires_at)
    values ('A1', ${host}, sha256('a'), now() - interval '6 days', now() + interval '1 day')`);
  await database.query(sql`
    update gateways set certificate_ends_at = now() + interval '13 days'`);
  await evaluateAlerts(platform.control);
  expect((await alerts()).toSorted()).toEqual(
    [`certificate_expiry ${gateway}`, `certificate_expiry ${host}`].toSorted(),
  );
  await database.query(sql`
    insert into certificates (serial, subject, public_key_sha256, issued_at, expires_at)
    values ('A2', ${host}, sha256('b'), now(), now() + interval '7 days')`);
  const certificateEndsAt = new Date(Date.now() + 90 * 86_400_000);
  await platform.fleet.takeWatched(gateway, [{ ...minute(fromMs, 0), certificateEndsAt }]);
  await evaluateAlerts(platform.control);
  expect((await listAlerts(platform.control, {})).alerts).toEqual([]);
});

test("a backup is overdue where backups are kept and none was completed for a day", async () => {
  const HOUR_MS = 60 * MINUTE_MS;
  let sequence = 0n;
  const told = async (meter: string, hoursAgo: number) => {
    sequence += 1n;
    const at = new Date(Date.now() - hoursAgo * HOUR_MS);
    await platform.fleet.takeUsage(host, [
      { sequence, meter, tenantId: acme, value: 1n, startedAt: at, endedAt: at },
    ]);
    await rollUpUsage(platform.control);
    await evaluateAlerts(platform.control);
    return alerts();
  };
  await platform.catalogue.database.query(sql`
    update tenants set created_at = now() - interval '27 hours' where id = ${acme}`);
  expect(await told("backups_completed", 30)).toEqual([]);
  expect(await told("backup_bytes", 0)).toEqual([`backup_overdue ${acme}`]);
  expect(await told("backups_completed", 28)).toEqual([`backup_overdue ${acme}`]);
  expect(await told("backups_completed", 25)).toEqual([`-backup_overdue ${acme}`]);
});

test("alerts are listed in pages, newest first", async () => {
  await addOldTenant(platform, "globex", "free");
  await platform.catalogue.database.query(sql`
    insert into quota_stages (tenant_id, resource, stage)
    select id, 'storage_bytes', 'warned' from tenants`);
  await evaluateAlerts(platform.control);
  const one = await listAlerts(platform.control, { pageSize: 1 });
  const { nextPageToken: pageToken } = one;
  const two = await listAlerts(platform.control, { pageSize: 1, pageToken });
  expect(two.nextPageToken).toBe("");
  const ids = [...one.alerts, ...two.alerts].map(({ id }) => id);
  expect(ids).toEqual(ids.toSorted((a, b) => (a > b ? -1 : 1)));
  await expect(
    listAlerts(platform.control, { includeClosed: true, pageToken }),
  ).rejects.toMatchObject({ code: "INVALID_PAGE_TOKEN" });
});
