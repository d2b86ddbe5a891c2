import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { listPlans } from "./plans.ts";
import {
  calculatePrice,
  createPlanPrice,
  createRate,
  listPlanPrices,
  listRates,
} from "./pricing.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
  platform = await openPlatform(server);
});
afterAll(async () => {
  await platform.close();
  await server.close();
});

test("the prices that are seeded are those of the plans, since this month", async () => {
  const prices = await listPlanPrices(platform.control);
  expect(prices.map((each) => [each.plan, each.basePriceMicroUsd])).toEqual([
    ["free", 0n],
    ["pro", 25_000_000n],
    ["enterprise", 599_000_000n],
  ]);
  const quotas = await listPlans(platform.control);
  for (const { name, storageBytes, apiRequestsPerMonth, basePriceMicroUsd } of quotas) {
    const price = prices.find(({ plan }) => plan === name);
    expect(basePriceMicroUsd).toBe(price?.basePriceMicroUsd);
    expect(price?.allowances.storage_bytes).toBe(storageBytes ?? 2n ** 40n);
    expect(price?.allowances.api_requests).toBe(apiRequestsPerMonth ?? 10_000_000n);
  }
  const rates = await listRates(platform.control);
  expect(rates.map(({ meter, microUsd, perUnits }) => [meter, microUsd, perUnits])).toEqual([
    ["api_requests", 2_500_000n, 1_000_000n],
    ["egress_bytes", 90_000n, 2n ** 30n],
    ["file_bytes", 23_000n, 2n ** 30n],
    ["storage_bytes", 250_000n, 2n ** 30n],
  ]);
});

test("a low-traffic tenant of a shared instance costs less than ten dollars a month", async () => {
  const usage = { api_requests: 10_000n, storage_bytes: 500n * 2n ** 20n, egress_bytes: 2n ** 30n };
  const { totalMicroUsd } = await calculatePrice(platform.control, { plan: "free", usage });
  expect(totalMicroUsd).toBeLessThan(10_000_000n);
});

test("a price to come changes nothing before its month", async () => {
  const usage = { egress_bytes: 200n * 2n ** 30n };
  const before = await calculatePrice(platform.control, { plan: "pro", usage });
  expect(before.totalMicroUsd).toBe(34_000_000n);
  const rate = { meter: "egress_bytes", activeFrom: "2190-01", microUsd: 1n, perUnits: 1n };
  await createRate(platform.control, tester, rate);
  const price = { plan: "pro", activeFrom: "2190-01", basePriceMicroUsd: 1n, allowances: {} };
  await createPlanPrice(platform.control, tester, price);
  expect(await calculatePrice(platform.control, { plan: "pro", usage })).toEqual(before);
  expect(await createRate(platform.control, tester, rate)).toMatchObject({ microUsd: 1n });
  expect(await createPlanPrice(platform.control, tester, price)).toMatchObject({ plan: "pro" });
  const dearer = createRate(platform.control, tester, { ...rate, microUsd: 2n });
  expect((await faultOf(dearer)).code).toBe("PRICE_EXISTS");
  const again = createPlanPrice(platform.control, tester, { ...price, basePriceMicroUsd: 2n });
  expect((await faultOf(again)).code).toBe("PRICE_EXISTS");
  const events = await platform.catalogue.database.query<{ kind: string; actor: string }>(sql`
    select kind, actor from events where kind in ('rate.create', 'plan_price.create') order by id`);
  expect(events).toEqual([
    { kind: "rate.create", actor: "key_tester" },
    { kind: "plan_price.create", actor: "key_tester" },
  ]);
});

test("what has begun, what is not billed and what is no plan has no price to come", async () => {
  const rate = { meter: "egress_bytes", activeFrom: "2026-01", microUsd: 1n, perUnits: 1n };
  for (const wrong of [
    rate,
    { ...rate, activeFrom: "soon" },
    { ...rate, meter: "connections_peak", activeFrom: "2190-02" },
    { ...rate, meter: "wishes", activeFrom: "2190-02" },
  ]) {
    const fault = await faultOf(createRate(platform.control, tester, wrong));
    expect(fault.code).toBe("INVALID_ARGUMENT");
  }
  const price = { plan: "gold", activeFrom: "2190-01", basePriceMicroUsd: 1n, allowances: {} };
  const fault = await faultOf(createPlanPrice(platform.control, tester, price));
  expect(fault.code).toBe("PLAN_NOT_FOUND");
});
