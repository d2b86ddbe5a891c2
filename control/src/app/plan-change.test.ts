/** What a plan gives to an instance and asks of its host, and what a change of it changes. */
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { findDisagreements } from "../store/consistency.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import { updatePlan } from "./plans.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
});
afterEach(() => platform.close());

function change(name: string, plan: string) {
  return platform.tenants.update(tester, name, { plan });
}

function demand(plan: string, requiredCapabilities: readonly string[]) {
  return updatePlan(platform.control, tester, { plan, requiredCapabilities });
}

async function reservedMiB(): Promise<number> {
  return (await getHost(platform.control, "h1")).reserved.memoryMiB;
}

test("an instance is given what its plan says, and a shared one comes first of all", async () => {
  const agent = await platform.addAgent("h1");
  await platform.create("solo", { plan: "pro" });
  await platform.create("together");
  const [solo, shared] = [...agent.instances.values()].sort((a, b) => a.importance - b.importance);
  expect(solo).toMatchObject({ shared: false, storageMiB: 102_400, importance: 200 });
  expect(shared).toMatchObject({ shared: true, storageMiB: 0, pidsLimit: 0, importance: 400 });
  expect((await getHost(platform.control, "h1")).reserved.storageMiB).toBe(102_400);
});

test("a bigger plan gives a dedicated instance more, and a smaller one takes it back", async () => {
  const disk = { holds: ["instances"], type: "xfs", reflink: true };
  const fileSystems = [{ ...disk, sizeMiB: 2_000_000, freeMiB: 1_000_000 }];
  const agent = await platform.addAgent("h1", { fingerprint: { fileSystems } });
  await platform.create("acme", { plan: "pro" });
  const [before] = agent.instances.values();
  expect(before).toMatchObject({ memoryMiB: 128, cpuMillis: 100, maxConnections: 100 });
  expect(await change("acme", "enterprise")).toMatchObject({ plan: "enterprise" });
  await agent.pull();
  const [bigger] = agent.instances.values();
  expect(bigger).toMatchObject({
    ...{ id: before?.id, memoryMiB: 1_024, cpuMillis: 1_000, maxConnections: 500 },
    // No limit of storage is as much as there is: the volume that holds the data cannot go.
    ...{ storageMiB: 2_000_000, importance: 300 },
  });
  expect(bigger?.generation).toBeGreaterThan(before?.generation ?? 0n);
  expect(await reservedMiB()).toBe(1_024);
  await change("acme", "pro");
  expect(await reservedMiB()).toBe(128);
  await agent.pull();
  expect([...agent.instances.values()]).toMatchObject([{ memoryMiB: 128, storageMiB: 2_000_000 }]);
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
  await platform.remove("acme");
  expect(await reservedMiB()).toBe(0);
});

test("a plan that the host has no room for is refused, and nothing is changed", async () => {
  const agent = await platform.addAgent("h1", { memoryMiB: 1_100 });
  await platform.create("acme", { plan: "pro" });
  await platform.create("other", { plan: "pro" });
  const fault = await faultOf(change("acme", "enterprise"));
  expect(fault).toMatchObject({
    code: "NO_FEASIBLE_HOST",
    details: { hosts: [{ host: "h1" }] },
  });
  expect(fault.message).toBe(
    "The host h1 cannot give the tenant the plan enterprise. It has 844 MiB of memory left; " +
      "896 are asked for. Moving a tenant to another host is not available in this version.",
  );
  expect(await platform.tenants.get("acme")).toMatchObject({ plan: "pro" });
  expect(await reservedMiB()).toBe(256);
  await agent.pull();
  expect([...agent.instances.values()].every(({ memoryMiB }) => memoryMiB === 128)).toBe(true);
});

test("of many who want the last room at once, no more get it than there is", async () => {
  await platform.addAgent("h1", { memoryMiB: 3_000 });
  const names = Array.from({ length: 8 }, (_, index) => `tenant-${index}`);
  for (const name of names) await platform.create(name, { plan: "pro" });
  const ends = await Promise.allSettled(names.map((name) => change(name, "enterprise")));
  // 8 × 128 are reserved; each that grows takes 896 more of the 1976 that are left.
  expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
  expect(await reservedMiB()).toBe(1_024 + 2 * 896);
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
});

test("of changes of one tenant at once, what is reserved is what the last one says", async () => {
  const agent = await platform.addAgent("h1");
  await platform.create("acme", { plan: "pro" });
  const plans = Array.from({ length: 10 }, (_, index) => (index % 2 ? "pro" : "enterprise"));
  await Promise.all(plans.map((plan) => change("acme", plan)));
  const { plan } = await platform.tenants.get("acme");
  await agent.pull();
  const memoryMiB = plan === "pro" ? 128 : 1_024;
  expect([...agent.instances.values()]).toMatchObject([{ memoryMiB }]);
  expect(await reservedMiB()).toBe(memoryMiB);
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
});

test("a change of labels leaves the instance as it is", async () => {
  await platform.addAgent("h1");
  await platform.create("acme", { plan: "pro" });
  const { generation } = await platform.fleet.routesWhole();
  await platform.tenants.update(tester, "acme", { labels: { team: "blue" } });
  expect((await platform.fleet.routesWhole()).generation).toBe(generation);
});

test("what a plan requires decides where its tenants go from then on", async () => {
  await platform.addAgent("h1");
  await platform.create("before", { plan: "pro" });
  expect((await demand("pro", ["sandbox", "process_user"])).requiredCapabilities).toEqual([
    "process_user",
    "sandbox",
  ]);
  const fault = await faultOf(platform.create("after", { plan: "pro" }));
  expect(fault.message).toContain("1 host: 1 without process_user and sandbox");
  const walled = await platform.addAgent("h2", { capabilities: ["process_user", "sandbox"] });
  await platform.create("after", { plan: "pro" });
  expect(walled.instances.size).toBe(1);
  await platform.create("anywhere", { plan: "enterprise", isolation: "database" });
  expect((await faultOf(change("anywhere", "pro"))).message).toContain("cannot do");
  await demand("pro", []);
  await change("anywhere", "pro");
  await platform.create("again", { plan: "pro" });
});

test("a plan cannot require what no host can do, nor can one that is none", async () => {
  const unknown = await faultOf(demand("pro", ["teleport"]));
  expect(unknown).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(unknown.message).toContain("reflink, hard_storage_limit, cpu_limit");
  expect((await faultOf(demand("gold", []))).code).toBe("PLAN_NOT_FOUND");
  const without = updatePlan(platform.control, tester, {
    plan: "gold",
    requiredCapabilities: undefined,
  });
  expect((await faultOf(without)).code).toBe("PLAN_NOT_FOUND");
});
