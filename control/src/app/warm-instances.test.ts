import { sql } from "@aerodb/db";
import type { HostId, InstanceId } from "@aerodb/model";
import { newId } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import type { WarmShape } from "./warm-instances.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { warmInstances: 3 });
});
afterEach(() => platform.close());

/** A host with an agent, and the one shape it is to keep ready. */
async function hostWithShape(): Promise<{ readonly hostId: HostId; readonly shape: WarmShape }> {
  const hostId = await platform.addHost("h1");
  await platform.addAgent("h1", { hostId });
  const [policy, ...others] = await platform.fleet.warmPolicies(hostId);
  expect(others).toEqual([]);
  expect(policy?.count).toBe(3);
  if (policy === undefined) throw new Error("no plan has instances of its own");
  return { hostId, shape: policy.shape };
}

function instanceIds(): Promise<{ id: InstanceId }[]> {
  return platform.catalogue.database.query(sql`select id from instances order by id`);
}

test("a host keeps ready what the plans with instances of their own are made with", async () => {
  const { shape } = await hostWithShape();
  const { instance } = await placed(await platform.create("acme", { plan: "pro" }));
  expect(instance).toEqual(shape);
});

test("a tenant gets an instance that runs, and the next gets another", async () => {
  const { hostId, shape } = await hostWithShape();
  const [first, second] = [newId("ins"), newId("ins")];
  const ready = [first, second].map((id) => ({ id, shape }));
  await platform.fleet.takeWarmInstances(hostId, ready);
  await platform.create("first", { plan: "pro" });
  await platform.create("second", { plan: "pro" });
  expect((await instanceIds()).map(({ id }) => id)).toEqual([first, second].toSorted());
});

test("a report that was under way offers nothing that was given away meanwhile", async () => {
  const { hostId, shape } = await hostWithShape();
  const id = newId("ins");
  await platform.fleet.takeWarmInstances(hostId, [{ id, shape }]);
  await platform.create("first", { plan: "pro" });
  await platform.fleet.takeWarmInstances(hostId, [{ id, shape }]);
  await platform.create("second", { plan: "pro" });
  const ids = (await instanceIds()).map((each) => each.id);
  expect(ids).toHaveLength(2);
  expect(ids).toContain(id);
});

test("what is not ready any more, or made for something else, is not given away", async () => {
  const { hostId, shape } = await hostWithShape();
  const [gone, other] = [newId("ins"), newId("ins")];
  await platform.fleet.takeWarmInstances(hostId, [{ id: gone, shape }]);
  const larger = { ...shape, memoryMiB: shape.memoryMiB * 2 };
  await platform.fleet.takeWarmInstances(hostId, [{ id: other, shape: larger }]);
  await platform.create("acme", { plan: "pro" });
  const [{ id } = { id: gone }] = await instanceIds();
  expect([gone, other]).not.toContain(id);
});

test("many at once get each their own", async () => {
  const { hostId, shape } = await hostWithShape();
  const ready = Array.from({ length: 3 }, () => ({ id: newId("ins"), shape }));
  await platform.fleet.takeWarmInstances(hostId, ready);
  const names = Array.from({ length: 8 }, (_, at) => `tenant-${at}`);
  await Promise.all(names.map((name) => platform.create(name, { plan: "pro" })));
  const ids = (await instanceIds()).map(({ id }) => id);
  expect(ids).toHaveLength(8);
  expect(ids).toEqual(expect.arrayContaining(ready.map(({ id }) => id)));
});

test("schema tenants are given none", async () => {
  const { hostId, shape } = await hostWithShape();
  const id = newId("ins");
  await platform.fleet.takeWarmInstances(hostId, [{ id, shape }]);
  await platform.create("acme", { plan: "free" });
  expect((await instanceIds()).map((each) => each.id)).not.toContain(id);
});

async function placed(tenant: { readonly id: string }): Promise<{ readonly instance: WarmShape }> {
  const [instance] = await platform.catalogue.database.query<WarmShape>(sql`
    select engine_major as "engineMajor", max_connections as "maxConnections",
           memory_mib as "memoryMiB", cpu_millis as "cpuMillis", storage_mib as "storageMiB",
           pids_limit as "pidsLimit"
      from instances i where id = (select instance_id from tenants where id = ${tenant.id})`);
  if (instance === undefined) throw new Error("the tenant has no instance");
  return { instance };
}
