/** A cap on what a month comes to: what it refuses, and what it has refused. */
import { sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addTerms, addUsage, someTenants } from "./billing-fixture.ts";
import { summarizeBilling } from "./billing-summary.ts";
import { listEvents } from "./events.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { evaluateQuotas, getTenantQuotas, setTenantQuotas } from "./quotas.ts";
import { deriveRunningBills } from "./running-bills.ts";
import { getTenant } from "./tenant-view.ts";

const GIB = 1_073_741_824n;
const DOLLAR = 1_000_000n;
const resource = "spend_micro_usd_per_month";
/** Included in the plan `free`. */
const FREE_EGRESS = 5n * GIB;

let server: CatalogueServer;
let platform: PlatformFixture;
let tenantId: TenantId;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  tenantId = await create("acme", "free");
});
afterEach(() => platform.close());

/** As if it had been there for years: what is included is shared out over the month. */
async function create(name: string, plan: string): Promise<TenantId> {
  const { id } = await platform.create(name, { plan });
  await addTerms(platform.catalogue.database, id, [["2020-01-01T00:00:00Z", plan]]);
  return id;
}

function cap(quota: bigint | undefined, tenant = "acme"): ReturnType<typeof setTenantQuotas> {
  return setTenantQuotas(platform.control, tester, { tenant, overrides: [{ resource, quota }] });
}

/** Egress of so many dollars in this hour, beyond what is included. */
async function spends(dollars: bigint, included = 0n): Promise<void> {
  const hour = `${now().toISOString().slice(0, 13)}:00:00Z`;
  const amount = included + (dollars * 100n * GIB + 8n) / 9n;
  await addUsage(platform.catalogue.database, { tenantId, meter: "egress_bytes", hour, amount });
}

async function standing(tenant = "acme") {
  const { standings } = await getTenantQuotas(platform.control, tenant);
  return standings.find((each) => each.resource === resource);
}

async function writesRefused(): Promise<unknown> {
  const [tenant] = await platform.catalogue.database.query<{ refused: boolean }>(sql`
    select writes_refused as refused from tenants where id = ${tenantId}`);
  return tenant?.refused;
}

describe("a tenant that comes to its cap", () => {
  test("is warned, then refused writes with a reason, and let go on when the cap is raised", async () => {
    await cap(10n * DOLLAR);
    await spends(9n, FREE_EGRESS);
    await evaluateQuotas(platform.control);
    expect(await standing()).toMatchObject({ stage: "warned", used: 9n * DOLLAR });
    expect(await writesRefused()).toBe(false);

    await spends(1n);
    await evaluateQuotas(platform.control);
    expect(await standing()).toMatchObject({ stage: "reached", used: 10n * DOLLAR });
    expect(await writesRefused()).toBe(true);
    const { statusReason } = await getTenant(platform.control, "acme");
    expect(statusReason).toMatch(/^Writes are refused: the month has come to its spend cap\. They/);
    expect(statusReason).not.toContain("storage");

    await cap(20n * DOLLAR);
    expect(await writesRefused()).toBe(false);
    const { events } = await listEvents(platform.control, { subject: tenantId });
    expect(
      events
        .map(({ kind }) => kind)
        .reverse()
        .slice(-7),
    ).toEqual([
      ...["quota.override", "quota.warned", "quota.reached", "tenant.refuse_writes"],
      ...["quota.override", "quota.within", "tenant.accept_writes"],
    ]);
    expect(events[0]?.after).toMatchObject({
      because: "It stores 0 of 524288000 bytes. Its month has come to $10.00 of $20.00.",
    });
  });

  test("goes on when the month turns, for what it comes to is that month's", async () => {
    await cap(10n * DOLLAR);
    await spends(11n, FREE_EGRESS);
    await evaluateQuotas(platform.control);
    expect(await writesRefused()).toBe(true);
    await platform.catalogue.database.query(sql`
      update running_bills set month = (month at time zone 'UTC' - interval '1 month')
                                       at time zone 'UTC'`);
    expect(await standing()).toMatchObject({ used: 0n, usedAt: undefined });
  });

  test("is also refused writes as long as either storage or the cap asks for it", async () => {
    await spends(11n, FREE_EGRESS);
    const both = [
      { resource: "storage_bytes", quota: 0n },
      { resource, quota: 10n * DOLLAR },
    ] as const;
    await setTenantQuotas(platform.control, tester, { tenant: "acme", overrides: both });
    const { statusReason } = await getTenant(platform.control, "acme");
    expect(statusReason).toMatch(/storage quota is used up.*spend cap/);
    await cap(10n * DOLLAR);
    expect(await writesRefused()).toBe(true);
    await cap(undefined);
    expect(await writesRefused()).toBe(false);
  });
});

describe("a cap", () => {
  test("that the base price would reach by itself is refused", async () => {
    expect(await faultOf(cap(0n))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("the plan free costs $0.00 a month"),
    });
    await create("bigger", "pro");
    expect(await faultOf(cap(25n * DOLLAR, "bigger"))).toMatchObject({ code: "INVALID_ARGUMENT" });
    await cap(26n * DOLLAR, "bigger");
    expect(await standing("bigger")).toMatchObject({ stage: "warned", used: 25n * DOLLAR });
  });

  test("refuses a plan that would come to it, and none that costs less", async () => {
    await create("bigger", "pro");
    // However little of the month is left: the next one is whole.
    await cap(598n * DOLLAR, "bigger");
    const upgrade = platform.tenants.update(tester, "bigger", { plan: "enterprise" });
    const fault = await faultOf(upgrade);
    expect(fault).toMatchObject({
      code: "QUOTA_EXCEEDED",
      message: expect.stringContaining(
        "spend cap of the tenant bigger is $598.00. Raise the cap first.",
      ),
      details: { resource, used: "599000000", limit: "598000000" },
    });
    // A cent above its plan.
    await cap(25n * DOLLAR + 10_000n, "bigger");
    await platform.tenants.update(tester, "bigger", { plan: "pro", labels: { a: "b" } });
  });
});

describe("running bills", () => {
  test("add up to what all tenants come to, those of no price counted apart", async () => {
    const { database } = platform.catalogue;
    await spends(3n, FREE_EGRESS);
    const [pro = "", gold = "", gone = ""] = someTenants(3);
    await addTerms(database, pro, [["2020-01-01T00:00:00Z", "pro"]]);
    await addTerms(database, gold, [["2020-01-01T00:00:00Z", "gold"]]);
    await addTerms(database, gone, [
      ["2020-01-01T00:00:00Z", "pro"],
      ["2020-02-01T00:00:00Z", null],
    ]);
    await deriveRunningBills(platform.control);
    const { running } = await summarizeBilling(platform.control);
    expect(running).toMatchObject({ tenants: 3, unbillable: 1, creditMicroUsd: 0n });
    expect(running.subtotalMicroUsd).toBe(28n * DOLLAR);
  });

  test("of tenants without a cap are derived again after ten minutes, others at once", async () => {
    await platform.create("free");
    await cap(10n * DOLLAR);
    await deriveRunningBills(platform.control);
    const before = await derivedAt();
    await deriveRunningBills(platform.control);
    const after = await derivedAt();
    expect(after.map(({ at }, index) => at > (before[index]?.at ?? at))).toEqual([true, false]);
    await deriveRunningBills(platform.control, new Date(now().getTime() + 700_000));
    expect((await derivedAt())[1]?.at.getTime()).toBeGreaterThan(after[1]?.at.getTime() ?? 0);
  });
});

function derivedAt(): Promise<{ readonly at: Date }[]> {
  return platform.catalogue.database.query(sql`
    select derived_at as at from running_bills order by tenant_id`);
}
