import type { HostId, TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import { rollUpUsage } from "./usage-records.ts";
import { getTenantUsage } from "./usage-report.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let host: HostId;
let tenantId: TenantId;

beforeAll(async () => {
  server = await startCatalogue();
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  host = (await getHost(platform.control, "h1")).id;
  tenantId = (await platform.create("acme")).id;
});
afterAll(async () => {
  await platform.close();
  await server.close();
});

test("what a tenant used is added up by meter and day, and a gauge says what it is now", async () => {
  const at = now();
  const rest = { tenantId, startedAt: at, endedAt: at };
  await platform.fleet.takeUsage(host, [
    { sequence: 1n, meter: "cpu_seconds", value: 3n, ...rest },
    { sequence: 2n, meter: "cpu_seconds", value: 4n, ...rest },
    { sequence: 3n, meter: "storage_bytes", value: 9n, ...rest },
  ]);
  await rollUpUsage(platform.control);
  const usage = await getTenantUsage(platform.control, "acme");
  expect(usage).toMatchObject({ tenantId, month: { name: at.toISOString().slice(0, 7) } });
  const date = at.toISOString().slice(0, 10);
  expect(usage.meters).toMatchObject([
    { meter: "cpu_seconds", amount: 7n, now: undefined, days: [{ date, amount: 7n }] },
    { meter: "storage_bytes", now: 9n },
  ]);
  expect(usage.from.getTime()).toBeLessThanOrEqual(at.getTime());
  expect(usage.meters[0]?.average).toBeGreaterThan(0);
});

test("usage outlives its tenant, by its id, and other months are empty", async () => {
  await platform.remove("acme");
  const { meters } = await getTenantUsage(platform.control, tenantId);
  expect(meters.map(({ meter }) => meter)).toContain("cpu_seconds");
  const earlier = await getTenantUsage(platform.control, tenantId, "2026-01");
  expect(earlier.meters).toEqual([]);
  expect([earlier.from, earlier.to]).toEqual([earlier.month.endsAt, earlier.month.endsAt]);
  const unknown = await faultOf(getTenantUsage(platform.control, "acme"));
  expect(unknown.code).toBe("TENANT_NOT_FOUND");
  const month = await faultOf(getTenantUsage(platform.control, tenantId, "2026-13"));
  expect(month.code).toBe("INVALID_ARGUMENT");
  const later = await faultOf(getTenantUsage(platform.control, tenantId, "2999-01"));
  expect([later.code, later.message]).toEqual(["INVALID_ARGUMENT", expect.stringMatching(/begun/)]);
});
