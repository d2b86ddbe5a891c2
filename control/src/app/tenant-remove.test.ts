import { sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import { armFailpoints } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { giveUpOverdue } from "../reconcilers/overdue.ts";
import { purge } from "../reconcilers/purge.ts";
import { observeInstance, observeTenant, startFakeAgent } from "./fake-agent.ts";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { listOperations } from "./operations.ts";

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

async function instancesAndHost() {
  const [row] = await platform.catalogue.database.query(sql`
    select (select json_agg(json_build_object('gone', gone_at is not null, 'tenants', tenant_count)
                            order by id) from instances) as instances,
           reserved_memory_mib as memory from hosts`);
  return row;
}

test("a schema tenant goes alone, its verifier is blanked and its name is free again", async () => {
  const agent = await platform.addAgent("h1");
  await platform.create("other");
  const { id } = await platform.create("acme");
  expect(await platform.remove("acme")).toMatchObject({ id, name: "acme", status: "deleted" });
  expect([...agent.tenants.keys()]).not.toContain(id);
  expect(await instancesAndHost()).toEqual({
    instances: [{ gone: false, tenants: 1 }],
    memory: 512,
  });
  const [row] = await platform.catalogue.database.query(sql`
    select verifier from tenants where id = ${id}`);
  expect(row).toEqual({ verifier: "" });
  expect((await faultOf(platform.remove("acme"))).code).toBe("TENANT_NOT_FOUND");
  expect((await platform.create("acme")).id).not.toBe(id);
});

test("a dedicated tenant goes with its instance, and what it reserved is given back", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("acme", { plan: "pro" });
  const { generation } = await platform.fleet.routesWhole();
  await platform.remove("acme");
  expect(agent.instances.size).toBe(0);
  expect(await instancesAndHost()).toEqual({ instances: [{ gone: true, tenants: 0 }], memory: 0 });
  const { operations } = await listOperations(platform.control, { tenantId: id });
  expect(operations[0]).toMatchObject({
    kind: "delete_tenant",
    done: true,
    error: "",
    steps: [{ name: "refused_to_clients" }, { name: "destroyed" }],
  });
  const changes = await platform.fleet.routeChanges(generation);
  expect(changes.routes).toMatchObject([{ tenantId: id, state: "gone" }]);
  expect(changes.endpoints).toMatchObject([{ gone: true }]);
  expect(await platform.fleet.routesWhole()).toMatchObject({ routes: [], endpoints: [] });
});

test("a dedicated tenant goes with its instance, whatever was said of it", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const create = platform.create("acme", { plan: "pro" });
  while ((await platform.count("tenants")) === 0) await agent.pull();
  const hostId = await onlyHost();
  const whole = await platform.fleet.desiredWhole(hostId);
  await platform.fleet.takeObserved(hostId, {
    instances: whole.instances.map(observeInstance),
    tenants: whole.tenants.map(observeTenant),
  });
  await create;
  const remove = platform.remove("acme");
  let gone = await agent.pull();
  while (gone.tenants[0]?.state !== "absent") gone = await agent.pull();
  const failed = gone.tenants.map((each) => ({ ...each, state: "failed" as const, reason: "x" }));
  await platform.fleet.takeObserved(hostId, { instances: gone.instances, tenants: failed });
  expect(await remove).toMatchObject({ status: "deleted" });
});

test("a deletion that died between its two statements is finished when overdue", async () => {
  await platform.close();
  platform = await openPlatform(server, { waitMs: 5_000, operationMs: 0 });
  const agent = await startFakeAgent(platform.fleet, { hostId: await platform.addHost("h1") });
  await platform.create("acme", { plan: "pro" });
  armFailpoints("control.observed.between_commits=throw");
  const remove = platform.remove("acme");
  await expect(agent.stopped).rejects.toThrow("failpoint");
  await giveUpOverdue(platform.control);
  expect(await remove).toMatchObject({ status: "deleted" });
});

async function onlyHost(): Promise<HostId> {
  const [host] = await platform.catalogue.database.query<{ id: HostId }>(sql`select id from hosts`);
  if (host === undefined) throw new Error("there is no host");
  return host.id;
}

test("deletions at once are one deletion: all wait for it or find nothing", async () => {
  await platform.addAgent("h1");
  await platform.create("acme");
  const settled = await Promise.allSettled(
    Array.from({ length: 10 }, () => platform.remove("acme")),
  );
  const codes = settled.map((each) => (each.status === "rejected" ? each.reason.code : "deleted"));
  expect(new Set([...codes, "TENANT_NOT_FOUND"])).toEqual(new Set(["deleted", "TENANT_NOT_FOUND"]));
  expect(codes).toContain("deleted");
  const { operations } = await listOperations(platform.control, {});
  expect(operations.map(({ kind }) => kind)).toEqual(["delete_tenant", "create_tenant"]);
});

test("a tenant that is deleted while it is created fails the create and goes", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const create = faultOf(platform.create("acme"));
  while ((await platform.count("tenants")) === 0) await agent.pull();
  const late = { instances: [...agent.instances.values()].map(observeInstance), tenants: [] };
  const ready = { instances: [], tenants: [...agent.tenants.values()].map(observeTenant) };
  const remove = platform.remove("acme");
  expect((await create).code).toBe("OPERATION_FAILED");
  const hostId = await onlyHost();
  await platform.fleet.takeObserved(hostId, late);
  await platform.fleet.takeObserved(hostId, ready);
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "deleting" });
  await platform.fleet.takeObserved(hostId, await agent.pull());
  expect(await remove).toMatchObject({ status: "deleted" });
});

test("an overdue create is given up: its tenant is deleted and its name is free", async () => {
  await platform.close();
  platform = await openPlatform(server, { waitMs: 5_000, operationMs: 0 });
  const agent = await platform.addAgent("h1", { reports: false });
  const create = faultOf(platform.create("acme", { plan: "pro" }));
  while ((await platform.count("tenants")) === 0) await agent.pull();
  await Promise.all([giveUpOverdue(platform.control), giveUpOverdue(platform.control)]);
  expect((await create).code).toBe("OPERATION_FAILED");
  const { operations } = await listOperations(platform.control, {});
  expect(operations).toMatchObject([
    { kind: "delete_tenant", done: false },
    { kind: "create_tenant", done: true, error: expect.stringContaining("longer than") },
  ]);
  await giveUpOverdue(platform.control);
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "deleting" });
  await platform.fleet.takeObserved(await onlyHost(), await agent.pull());
  expect((await faultOf(platform.tenants.get("acme"))).code).toBe("TENANT_NOT_FOUND");
});

test("deleted tenants are kept for a while and then purged with their instances", async () => {
  await platform.addAgent("h1");
  await platform.create("acme", { plan: "pro" });
  await platform.create("stays");
  await platform.remove("acme");
  await purge(platform.control);
  expect(await platform.count("tenants")).toBe(2);
  await platform.catalogue.database.query(sql`
    update tenants set deleted_at = now() - interval '31 days' where status = 'deleted'`);
  await platform.catalogue.database.query(sql`
    update instances set gone_at = now() - interval '31 days' where gone_at is not null`);
  await purge(platform.control);
  await purge(platform.control);
  expect(await platform.count("tenants")).toBe(1);
  expect(await platform.count("instances")).toBe(1);
});
