import { sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { giveUpOverdue } from "../reconcilers/overdue.ts";
import { setQuarantine } from "../store/tenant-quarantine.ts";
import { type FakeAgent, observeTenant } from "./fake-agent.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { listOperations } from "./operations.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
const never = new AbortController().signal;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
});
afterEach(() => platform.close());

function suspend(reason = "unpaid") {
  return platform.tenants.suspend(tester, "acme", reason, never);
}

function reinstate() {
  return platform.tenants.reinstate(tester, "acme", never);
}

async function routeState(name = "acme") {
  const { routes } = await platform.fleet.routesWhole();
  return routes.find((route) => route.name === name)?.state;
}

async function kinds(): Promise<string[]> {
  const { operations } = await listOperations(platform.control, {});
  return operations.map(({ kind, done, error }) => `${kind} ${done ? error || "done" : "open"}`);
}

async function events(kind: string) {
  return platform.catalogue.database.query<{ actor: string; before: unknown; after: unknown }>(sql`
    select actor, before, after, request_id as "requestId" from events
     where kind = ${kind} order by id`);
}

/** A host whose reports the test sends itself, with a tenant that is active. */
async function silentHost(): Promise<{
  agent: FakeAgent;
  hostId: HostId;
  report(): Promise<void>;
}> {
  const agent = await platform.addAgent("h1");
  await platform.create("acme");
  await agent.stop();
  const [host] = await platform.catalogue.database.query<{ id: HostId }>(sql`select id from hosts`);
  const hostId = host?.id as HostId;
  const report = async () => platform.fleet.takeObserved(hostId, await agent.pull());
  return { agent, hostId, report };
}

async function untilOpen(operation: string): Promise<void> {
  while (!(await kinds()).includes(`${operation} open`)) await Promise.resolve();
}

test("a suspended tenant is refused by its route and its role, and says who did it and why", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("acme");
  const verifier = agent.tenants.get(id)?.verifier;
  const suspended = await suspend("invoice 7 is unpaid");
  expect(suspended).toMatchObject({ status: "suspended", statusReason: "invoice 7 is unpaid" });
  expect(agent.tenants.get(id)).toMatchObject({ suspended: true, verifier });
  expect(await routeState()).toBe("suspended");
  expect(platform.covered.at(-1)).toBe((await platform.fleet.routesWhole()).generation);
  expect(await kinds()).toEqual(["suspend_tenant done", "create_tenant done"]);
  expect(await events("tenant.suspend")).toEqual([
    {
      ...{ actor: tester.principal, requestId: tester.requestId },
      ...{ before: null, after: { reason: "invoice 7 is unpaid" } },
    },
  ]);
  const listed = await platform.tenants.list({ status: "suspended" });
  expect(listed.tenants).toMatchObject([{ name: "acme", statusReason: "invoice 7 is unpaid" }]);
  expect((await platform.tenants.list({ status: "active" })).tenants).toEqual([]);

  const reinstated = await reinstate();
  expect(reinstated).toMatchObject({ status: "active", statusReason: "" });
  expect(agent.tenants.get(id)).toMatchObject({ suspended: false, verifier });
  expect(await routeState()).toBe("active");
  expect(platform.covered.at(-1)).toBe((await platform.fleet.routesWhole()).generation);
  expect(await events("tenant.reinstate")).toMatchObject([
    { actor: tester.principal, before: { reason: "invoice 7 is unpaid" } },
  ]);
});

test("a repeat changes nothing, unless it gives another reason", async () => {
  await platform.addAgent("h1");
  await platform.create("acme");
  expect(await reinstate()).toMatchObject({ status: "active" });
  await suspend("first");
  const { generation } = await platform.fleet.routesWhole();
  expect(await suspend("first")).toMatchObject({ status: "suspended", statusReason: "first" });
  expect(await suspend("second")).toMatchObject({ statusReason: "second" });
  expect((await platform.fleet.routesWhole()).generation).toBe(generation);
  expect(await events("tenant.suspend")).toMatchObject([
    { before: null, after: { reason: "first" } },
    { before: { reason: "first" }, after: { reason: "second" } },
  ]);
  await reinstate();
  await reinstate();
  expect(await kinds()).toEqual([
    "reinstate_tenant done",
    "suspend_tenant done",
    "create_tenant done",
  ]);
});

test("the route is shut at once, and opened only once the host lets the tenant in", async () => {
  const { report } = await silentHost();
  const suspending = suspend();
  await untilOpen("suspend_tenant");
  expect(await routeState()).toBe("suspended");
  await report();
  await suspending;
  const reinstating = reinstate();
  await untilOpen("reinstate_tenant");
  expect(await routeState()).toBe("suspended");
  expect(await platform.tenants.get("acme")).toMatchObject({
    ...{ status: "suspended", statusReason: "it is being reinstated" },
  });
  await report();
  expect(await reinstating).toMatchObject({ status: "active" });
  expect(await routeState()).toBe("active");
});

test("an agent that knows nothing of suspending does not answer for it", async () => {
  const { agent, hostId, report } = await silentHost();
  const suspending = suspend();
  await untilOpen("suspend_tenant");
  const known = await agent.pull();
  const ready = known.tenants.map((tenant) => ({ ...tenant, state: "ready" as const }));
  await platform.fleet.takeObserved(hostId, { instances: [], tenants: ready });
  expect(await kinds()).toContain("suspend_tenant open");
  expect(await routeState()).toBe("suspended");
  await platform.fleet.takeObserved(hostId, known);
  await suspending;
  const reinstating = reinstate();
  await untilOpen("reinstate_tenant");
  // What was said before the change says nothing about it.
  await platform.fleet.takeObserved(hostId, known);
  expect(await routeState()).toBe("suspended");
  await report();
  await reinstating;
});

test("with the host away the caller is told to ask after the operation, which is not given up", async () => {
  await platform.close();
  platform = await openPlatform(server, { waitMs: 50, operationMs: 0 });
  const agent = await platform.addAgent("h1", { reports: false });
  // Whether its answer comes in time or not.
  const create = platform.create("acme").catch(() => undefined);
  let report = await agent.pull();
  while (report.tenants.length === 0) report = await agent.pull();
  const [host] = await platform.catalogue.database.query<{ id: HostId }>(sql`select id from hosts`);
  const hostId = host?.id as HostId;
  await platform.fleet.takeObserved(hostId, report);
  await create;
  for (const [act, kind] of [
    [suspend, "suspend_tenant"],
    [reinstate, "reinstate_tenant"],
  ] as const) {
    const fault = await faultOf(act());
    expect(fault.code).toBe("OPERATION_TIMED_OUT");
    const { operations } = await listOperations(platform.control, {});
    expect(fault.details["operation_id"]).toBe(operations[0]?.id);
    await giveUpOverdue(platform.control);
    expect(await kinds()).toContain(`${kind} open`);
    expect(await events("operation.overdue")).not.toEqual([]);
    await platform.fleet.takeObserved(hostId, await agent.pull());
    expect(await kinds()).toContain(`${kind} done`);
  }
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "active" });
});

test("of suspending and reinstating at once the newer holds, and the older is told so", async () => {
  const { report } = await silentHost();
  const suspending = faultOf(suspend());
  await untilOpen("suspend_tenant");
  const reinstating = faultOf(reinstate());
  expect(await suspending).toMatchObject({ code: "SUPERSEDED" });
  await untilOpen("reinstate_tenant");
  const again = suspend("again");
  expect(await reinstating).toMatchObject({ code: "SUPERSEDED" });
  await untilOpen("suspend_tenant");
  await report();
  expect(await again).toMatchObject({ status: "suspended", statusReason: "again" });
});

test("many who suspend at once make one suspension", async () => {
  await platform.addAgent("h1");
  await platform.create("acme");
  const answers = await Promise.all(Array.from({ length: 10 }, () => suspend()));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(["suspended"]));
  expect(await kinds()).toEqual(["suspend_tenant done", "create_tenant done"]);
});

test("a tenant that goes is neither suspended nor reinstated", async () => {
  const { report } = await silentHost();
  const removal = platform.remove("acme");
  await untilOpen("delete_tenant");
  for (const act of [suspend, reinstate]) {
    const fault = await faultOf(act());
    expect(fault).toMatchObject({ code: "TENANT_NOT_ACTIVE", details: { status: "deleting" } });
  }
  await report();
  await removal;
  expect((await faultOf(suspend())).code).toBe("TENANT_NOT_FOUND");
});

test("a tenant that comes is neither suspended nor reinstated", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const creation = platform.create("acme");
  await untilOpen("create_tenant");
  for (const act of [suspend, reinstate]) {
    const fault = await faultOf(act());
    expect(fault).toMatchObject({ code: "TENANT_NOT_ACTIVE", details: { status: "creating" } });
  }
  const [host] = await platform.catalogue.database.query<{ id: HostId }>(sql`select id from hosts`);
  await platform.fleet.takeObserved(host?.id as HostId, await agent.pull());
  await creation;
});

test("a suspended tenant keeps its name, and can be deleted", async () => {
  await platform.addAgent("h1");
  await platform.create("acme");
  await suspend();
  expect((await faultOf(platform.create("acme"))).code).toBe("TENANT_NAME_EXISTS");
  expect(await platform.remove("acme")).toMatchObject({ status: "deleted" });
  const [row] = await platform.catalogue.database.query(sql`
    select status, verifier, suspend_reason from tenants`);
  expect(row).toEqual({ status: "deleted", verifier: "", suspend_reason: null });
  await platform.create("acme");
});

test("a suspended tenant may change plan and labels, and has no password to rotate", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("acme", { plan: "pro" });
  await suspend();
  const labels = { dunning: "2" };
  expect(await platform.tenants.update(tester, "acme", { labels })).toMatchObject({ labels });
  const plan = { plan: "pro" };
  expect(await platform.tenants.update(tester, "acme", plan)).toMatchObject({
    ...{ status: "suspended", plan: "pro" },
  });
  expect(agent.tenants.get(id)).toMatchObject({ suspended: true });
  const settings = { work_mem: "8MB" };
  for (const refused of [
    () => platform.tenants.rotate(tester, "acme", never),
    () => platform.tenants.restart(tester, "acme", never),
    () => platform.tenants.installExtension(tester, "acme", "citext", never),
    () => platform.tenants.update(tester, "acme", { settings, labels: { dunning: "3" } }),
  ]) {
    const fault = await faultOf(refused());
    expect(fault).toMatchObject({ code: "TENANT_NOT_ACTIVE", details: { status: "suspended" } });
    expect(fault.message).toBe("The tenant acme is suspended: reinstate it first.");
  }
  expect(await platform.tenants.get("acme")).toMatchObject({ labels });
});

test("a change of a plan that its host hears of leaves a tenant suspended", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("acme");
  await suspend();
  await platform.tenants.update(tester, "acme", { plan: "pro" });
  while (agent.tenants.get(id)?.connectionLimit !== 100) await agent.pull();
  expect(agent.tenants.get(id)).toMatchObject({ suspended: true });
  expect(await routeState()).toBe("suspended");
});

test.each(["", "   ", "x".repeat(501), "a\u0007b"])("the reason %j is refused", async (reason) => {
  await platform.addAgent("h1");
  await platform.create("acme");
  expect((await faultOf(suspend(reason))).code).toBe("INVALID_ARGUMENT");
});

test("what the host says of its trouble is shown beside the reason", async () => {
  const { agent, hostId } = await silentHost();
  const suspending = suspend("unpaid");
  await untilOpen("suspend_tenant");
  await agent.pull();
  const failed = [...agent.tenants.values()].map((tenant) => ({
    ...observeTenant(tenant),
    ...{ state: "failed" as const, reason: "A session does not end." },
  }));
  await platform.fleet.takeObserved(hostId, { instances: [], tenants: failed });
  expect(await platform.tenants.get("acme")).toMatchObject({
    ...{ status: "suspended", statusReason: "unpaid; A session does not end." },
  });
  const tenants = [...agent.tenants.values()].map(observeTenant);
  await platform.fleet.takeObserved(hostId, { instances: [], tenants });
  expect(await suspending).toMatchObject({ statusReason: "unpaid" });
});

test("a tenant in quarantine is refused by its route whatever its status, and says so", async () => {
  await platform.addAgent("h1");
  const { id } = await platform.create("acme");
  const { database } = platform.catalogue;
  const generation = await setQuarantine(database, id, "a table without a policy");
  expect(generation).toBe((await platform.fleet.routesWhole()).generation);
  expect(await setQuarantine(database, id, "a table without a policy")).toBeUndefined();
  expect(await routeState()).toBe("quarantined");
  expect(await platform.tenants.get("acme")).toMatchObject({
    ...{ status: "active", quarantined: true, statusReason: "a table without a policy" },
  });
  expect(await suspend("unpaid")).toMatchObject({
    ...{ status: "suspended", quarantined: true, statusReason: "unpaid; a table without a policy" },
  });
  expect(await routeState()).toBe("suspended");
  expect(await reinstate()).toMatchObject({ status: "active", quarantined: true });
  expect(await routeState()).toBe("quarantined");
  expect(await setQuarantine(database, id, undefined)).toBeGreaterThan(generation ?? 0n);
  expect(await routeState()).toBe("active");
  expect(await events("tenant.quarantine")).toMatchObject([
    { actor: "system", after: { reason: "a table without a policy" } },
    { before: { reason: "a table without a policy" }, after: { reason: null } },
  ]);
  await platform.remove("acme");
  expect(await setQuarantine(database, id, "too late")).toBeUndefined();
});
