import { sql } from "@aerodb/db";
import { type HostId, monthOf, type QuotaStage, quotaRefusal, type TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { listEvents } from "./events.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import { evaluateQuotas, getTenantQuotas, setTenantQuotas } from "./quotas.ts";
import { rollUpUsage } from "./usage-records.ts";
import { addOldGateway } from "./watched-fixture.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let host: HostId;
let tenantId: TenantId;
let sequence = 0n;

beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  host = (await getHost(platform.control, "h1")).id;
  tenantId = (await platform.create("acme")).id;
});
afterEach(() => platform.close());

function set(quota: bigint | undefined): ReturnType<typeof setTenantQuotas> {
  const overrides = [{ resource: "storage_bytes", quota } as const];
  return setTenantQuotas(platform.control, tester, { tenant: "acme", overrides });
}

async function stores(value: bigint): Promise<void> {
  sequence += 1n;
  const at = now();
  await platform.fleet.takeUsage(host, [
    { sequence, meter: "storage_bytes", tenantId, value, startedAt: at, endedAt: at },
  ]);
  await rollUpUsage(platform.control);
  await evaluateQuotas(platform.control);
}

async function storage() {
  const { standings } = await getTenantQuotas(platform.control, "acme");
  return standings.find(({ resource }) => resource === "storage_bytes");
}

async function stagesTold(): Promise<unknown[]> {
  const { events } = await listEvents(platform.control, { subject: tenantId, kind: "quota." });
  return events.map(({ kind, before }) => [before?.["stage"], kind]).reverse();
}

test("a tenant has the quotas of its plan, and nothing was read at first", async () => {
  const { standings } = await getTenantQuotas(platform.control, "acme");
  expect(standings.map(({ resource, quota, stage }) => [resource, quota, stage])).toEqual([
    ["storage_bytes", 524_288_000n, "within"],
    ["api_requests_per_month", 10_000n, "within"],
    ["file_storage_bytes", 1_073_741_824n, "within"],
    ["realtime_connections", 100n, "within"],
    ["spend_micro_usd_per_month", undefined, "within"],
  ]);
  expect(await storage()).toMatchObject({ used: 0n, usedAt: undefined, overridden: false });
});

test("a tenant is warned, then has reached its quota, and is let off when it uses less", async () => {
  await set(1_000n);
  const stages: (QuotaStage | undefined)[] = [];
  for (const value of [10n, 800n, 990n, 1_000n, 1_500n, 999n, 10n]) {
    await stores(value);
    stages.push((await storage())?.stage);
  }
  expect(stages).toEqual(["within", "warned", "warned", "reached", "reached", "warned", "within"]);
  expect(await stagesTold()).toEqual([
    [undefined, "quota.override"],
    ["within", "quota.warned"],
    ["warned", "quota.reached"],
    ["reached", "quota.warned"],
    ["warned", "quota.within"],
  ]);
});

test("who has reached its storage is refused writes until it stores less", async () => {
  await set(1_000n);
  const refused: unknown[] = [];
  for (const value of [10n, 1_000n, 990n, 2_000n]) {
    await stores(value);
    refused.push(await writesRefused());
  }
  await set(undefined);
  refused.push(await writesRefused());
  expect(refused).toEqual([false, true, false, true, false]);
  const { events } = await listEvents(platform.control, { subject: tenantId, kind: "tenant." });
  expect(events.filter(({ kind }) => kind.endsWith("_writes"))[0]).toMatchObject({
    ...{ kind: "tenant.accept_writes", actor: "system" },
    after: { writes_refused: false, because: "It stores 2000 of unlimited bytes." },
  });
});

async function writesRefused(): Promise<unknown> {
  const [tenant] = await platform.catalogue.database.query<{ refused: boolean }>(sql`
    select writes_refused as refused from tenants where id = ${tenantId}`);
  return tenant?.refused;
}

test("a quota that is lowered or raised counts at once, and since then", async () => {
  await stores(500n);
  await set(400n);
  expect(await storage()).toMatchObject({ stage: "reached", overridden: true, quota: 400n });
  const since = (await storage())?.since;
  await evaluateQuotas(platform.control);
  expect((await storage())?.since).toEqual(since);
  await set(undefined);
  expect(await storage()).toMatchObject({ stage: "within", quota: undefined, used: 500n });
});

test("a repeat writes nothing, and what is left out is the plan's again", async () => {
  await set(400n);
  await set(400n);
  await setTenantQuotas(platform.control, tester, { tenant: "acme", overrides: [] });
  expect(await storage()).toMatchObject({ quota: 524_288_000n, overridden: false });
  const { events } = await listEvents(platform.control, { kind: "quota.override" });
  expect(events.map(({ before, after }) => [before, after])).toEqual([
    [{ storage_bytes: 400 }, {}],
    [{}, { storage_bytes: 400 }],
  ]);
});

test("readings that add up to more than can be keep nobody else within its quotas", async () => {
  const { id: other } = await platform.create("other");
  const gateway = await addOldGateway(platform, "g1");
  const endedAt = now();
  const most = { tenantId, startedAt: endedAt, endedAt, meter: "api_requests", value: 2n ** 60n };
  const events = Array.from({ length: 9 }, (_, at) => ({ ...most, sequence: BigInt(at + 1) }));
  const others = { ...most, sequence: 10n, tenantId: other, value: 10_000n };
  await platform.fleet.takeUsage(gateway, [...events, others]);
  await rollUpUsage(platform.control);
  await evaluateQuotas(platform.control);
  // Looked at again, with what they came to written down.
  await evaluateQuotas(platform.control);
  const requests = async (tenant: string) =>
    (await getTenantQuotas(platform.control, tenant)).standings[1];
  expect(await requests("other")).toMatchObject({ used: 10_000n, stage: "reached" });
  expect(await requests("acme")).toMatchObject({ used: 2n ** 63n - 1n, stage: "reached" });
});

test("a quota that is given twice, and one of nobody, are refused", async () => {
  const twice = [1n, 2n].map((quota) => ({ resource: "storage_bytes", quota }) as const);
  const ask = { tenant: "acme", overrides: twice };
  const fault = await faultOf(setTenantQuotas(platform.control, tester, ask));
  expect(fault).toMatchObject({
    code: "INVALID_ARGUMENT",
    message: expect.stringContaining("given twice"),
  });
  const nobody = setTenantQuotas(platform.control, tester, { tenant: "nobody", overrides: [] });
  expect(await faultOf(nobody)).toMatchObject({ code: "TENANT_NOT_FOUND" });
});

test("requests and realtime connections of gateways count, and are refused with when to retry", async () => {
  const gateway = await addOldGateway(platform, "g1");
  const at = now();
  const told = (readings: Readonly<Record<string, bigint>>) =>
    platform.fleet.takeUsage(
      gateway,
      Object.entries(readings).map(([meter, value]) => {
        sequence += 1n;
        return { sequence, meter, value, tenantId, startedAt: at, endedAt: at };
      }),
    );
  const refusals = async () => {
    await rollUpUsage(platform.control);
    await evaluateQuotas(platform.control);
    const { standings } = await getTenantQuotas(platform.control, "acme");
    return standings.flatMap((standing) => {
      const fault = quotaRefusal({ ...standing, at });
      return fault === undefined ? [] : [[standing.resource, standing.stage, fault.details]];
    });
  };
  await told({ api_requests: 9_999n, realtime_connections_peak: 99n, file_bytes: 1_073_741_823n });
  expect(await refusals()).toEqual([]);
  await told({ api_requests: 1n, realtime_connections_peak: 100n, file_bytes: 1_073_741_824n });
  const month = monthOf(at);
  const wait = Math.ceil((month.endsAt.getTime() - at.getTime()) / 1_000);
  expect(await refusals()).toMatchObject([
    ["api_requests_per_month", "reached", { used: "10000", retry_after_seconds: wait }],
    ["file_storage_bytes", "reached", { used: "1073741824" }],
    ["realtime_connections", "reached", { used: "100", retry_after_seconds: 60 }],
  ]);
});
