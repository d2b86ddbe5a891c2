/** What hosts cost, dated, and what tenants cost by what was measured in them. */
import { sql } from "@aerodb/db";
import type { InstanceId, TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { calculateCost, createHostPrice, listHostPrices } from "./cost.ts";
import { listEvents } from "./events.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getHost } from "./hosts.ts";

const DOLLAR = 1_000_000n;
const MIB = 1_048_576;

let server: CatalogueServer;
let platform: PlatformFixture;
let sequence = 0n;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
});
afterEach(() => platform.close());

function price(host: string, dollars: bigint) {
  const ask = { host, microUsdPerMonth: dollars * DOLLAR };
  return createHostPrice(platform.control, tester, ask);
}

async function instanceOf(tenantId: TenantId): Promise<InstanceId> {
  const [tenant] = await platform.catalogue.database.query<{ id: InstanceId }>(sql`
    select instance_id as id from tenants where id = ${tenantId}`);
  if (tenant === undefined) throw new Error("no such tenant");
  return tenant.id;
}

async function measure(instanceId: InstanceId, memoryBytes: number, cores: number): Promise<void> {
  const { id } = await getHost(platform.control, "h1");
  sequence += 1n;
  const values = { memory_bytes: memoryBytes, cpu_seconds: cores * 10, storage_bytes: MIB };
  const sample = { sequence, at: now(), seconds: 10, instanceId, tenantId: "", statements: [] };
  await platform.fleet.takeSamples(id, [{ ...sample, values }]);
}

test("tenants cost what their instance takes of its host, and idle capacity besides", async () => {
  const { id } = await platform.create("one");
  await platform.create("two");
  await platform.create("own", { plan: "pro" });
  await price("any", 40n);
  const { capacity } = await getHost(platform.control, "h1");
  await measure(await instanceOf(id), (capacity.memoryMiB * MIB) / 4, 0);
  const cost = await calculateCost(platform.control);
  expect(cost).toMatchObject({
    ...{ hosts: 1, unpricedHosts: 0, hostsMicroUsd: 40n * DOLLAR, usedMicroUsd: 10n * DOLLAR },
    // Nothing was measured in the instance of its own.
    leftOutTenants: 1,
  });
  expect(cost.costs).toMatchObject([
    {
      ...{ plan: "free", isolation: "schema", tenants: 2n, scarce: "memory" },
      ...{ whenFullMicroUsd: 5n * DOLLAR, nowMicroUsd: 20n * DOLLAR },
    },
  ]);
  const [own] = (await platform.tenants.list({})).tenants.filter(({ name }) => name === "own");
  if (own === undefined) throw new Error("no such tenant");
  await measure(await instanceOf(own.id), (capacity.memoryMiB * MIB) / 4, 0);
  const both = await calculateCost(platform.control);
  expect(both.leftOutTenants).toBe(0);
  expect(both.costs.map(({ plan, nowMicroUsd }) => [plan, nowMicroUsd])).toEqual([
    ["free", 10n * DOLLAR],
    ["pro", 20n * DOLLAR],
  ]);
});

test("a host without a price is left out, with the tenants in it", async () => {
  await platform.create("one");
  expect(await calculateCost(platform.control)).toMatchObject({
    ...{ hosts: 1, unpricedHosts: 1, costs: [], hostsMicroUsd: 0n, leftOutTenants: 1 },
  });
});

test("a host that says it has more disk than there is keeps no other cost from being told", async () => {
  const { id } = await platform.create("one");
  await price("any", 40n);
  await measure(await instanceOf(id), MIB, 0);
  await platform.catalogue.database.query(sql`update hosts set storage_mib = ${2n ** 44n}`);
  expect((await calculateCost(platform.control)).costs).toMatchObject([{ tenants: 1n }]);
});

test("prices are dated and never edited, and the newest of the host's own counts", async () => {
  await price("any", 40n);
  await price("h1", 80n);
  await price("h1", 80n);
  await price("any", 50n);
  const { id } = await getHost(platform.control, "h1");
  const prices = await listHostPrices(platform.control);
  expect(prices.map((each) => [each.hostId, each.microUsdPerMonth / DOLLAR])).toEqual([
    ["any", 50n],
    [id, 80n],
    ["any", 40n],
  ]);
  expect((await calculateCost(platform.control)).hostsMicroUsd).toBe(80n * DOLLAR);
  const { events } = await listEvents(platform.control, { kind: "host_price." });
  expect(events).toHaveLength(3);
  expect(events[0]).toMatchObject({
    ...{ actor: "key_tester", subject: "any" },
    before: { micro_usd_per_month: "40000000" },
    after: { micro_usd_per_month: "50000000" },
  });
  const edit = platform.catalogue.database.query(sql`update host_prices set active_from = now()`);
  await expect(edit).rejects.toThrow();
  expect(await faultOf(price("nobody", 1n))).toMatchObject({ code: "HOST_NOT_FOUND" });
});
