import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { observeTenant } from "./fake-agent.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";

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

test("a rotation answers with a new password once the host holds its verifier", async () => {
  const agent = await platform.addAgent("h1");
  const tenant = await platform.create("acme");
  const before = agent.tenants.get(tenant.id)?.verifier;
  const rotated = await platform.tenants.rotate(tester, "acme", never);
  expect(rotated.connection.password).toHaveLength(tenant.connection.password.length);
  expect(rotated.connection.password).not.toBe(tenant.connection.password);
  expect(agent.tenants.get(tenant.id)?.verifier).not.toBe(before);
});

test("of two rotations at once the newer is in force and the older is told so", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("acme");
  await agent.stop();
  const hostId = await hostOf();
  const older = faultOf(platform.tenants.rotate(tester, id, never));
  while ((await platform.count("operations")) < 2) await agent.pull();
  const stale = [...agent.tenants.values()].map(observeTenant);
  const newer = platform.tenants.rotate(tester, id, never);
  expect((await older).code).toBe("SUPERSEDED");
  await platform.fleet.takeObserved(hostId, { instances: [], tenants: stale });
  await platform.fleet.takeObserved(hostId, await agent.pull());
  expect((await newer).connection.password).not.toBe("");
});

async function hostOf() {
  const [host] = await platform.fleet.routesWhole().then(({ endpoints }) => endpoints);
  if (host === undefined) throw new Error("no endpoint");
  return host.hostId;
}

test("a tenant that is not active has no password to rotate", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const create = faultOf(platform.create("acme"));
  while ((await platform.count("tenants")) === 0) await agent.pull();
  const fault = await faultOf(platform.tenants.rotate(tester, "acme", never));
  expect(fault).toMatchObject({ code: "TENANT_NOT_ACTIVE", details: { status: "creating" } });
  const removal = platform.remove("acme");
  await create;
  await platform.fleet.takeObserved(await onlyHost(), await agent.pull());
  expect(await removal).toMatchObject({ status: "deleted" });
});

async function onlyHost() {
  const [host] = await platform.catalogue.database.query<{ id: string }>(sql`select id from hosts`);
  return host?.id as Awaited<ReturnType<typeof hostOf>>;
}

test("a plan within the same isolation changes the connection limit on the host", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("acme");
  const changed = await platform.tenants.update(tester, "acme", { plan: "pro" });
  expect(changed).toMatchObject({ plan: "pro", isolation: "schema", status: "active" });
  while (agent.tenants.get(id)?.connectionLimit !== 100) await agent.pull();
});

test("a plan that does not allow the isolation needs a move", async () => {
  await platform.addAgent("h1");
  await platform.create("acme", { plan: "pro" });
  const fault = await faultOf(platform.tenants.update(tester, "acme", { plan: "free" }));
  expect(fault).toMatchObject({
    code: "PLAN_CHANGE_NEEDS_MOVE",
    details: { plan: "free", isolation: "database", allowed: ["schema"] },
  });
  const unknown = await faultOf(platform.tenants.update(tester, "acme", { plan: "gold" }));
  expect(unknown.code).toBe("PLAN_NOT_FOUND");
});

test("labels are merged and an empty value removes one, unheard by the host", async () => {
  await platform.addAgent("h1");
  await platform.create("acme", { labels: { a: "1", b: "2" } });
  const { generation } = await platform.fleet.routesWhole();
  const labels = { b: "", c: "3", absent: "" };
  const changed = await platform.tenants.update(tester, "acme", { labels });
  expect(changed.labels).toEqual({ a: "1", c: "3" });
  expect((await platform.fleet.routesWhole()).generation).toBe(generation);
  const many = Object.fromEntries(Array.from({ length: 63 }, (_, index) => [`l${index}`, "x"]));
  const fault = await faultOf(platform.tenants.update(tester, "acme", { labels: many }));
  expect(fault.message).toBe("A tenant may have 64 labels; this would make 65.");
});

test("a list is paged oldest first, filtered, and its token is bound to the filters", async () => {
  await platform.addAgent("h1");
  for (const name of ["acme-1", "beta-1", "acme-2", "acme-3"]) await platform.create(name);
  await platform.create("solo", { plan: "pro" });
  await platform.remove("beta-1");
  const first = await platform.tenants.list({ pageSize: 2 });
  expect(first.tenants.map(({ name }) => name)).toEqual(["acme-1", "acme-2"]);
  const second = await platform.tenants.list({ pageSize: 2, pageToken: first.nextPageToken });
  expect(second.tenants.map(({ name }) => name)).toEqual(["acme-3", "solo"]);
  expect(second.nextPageToken).toBe("");
  const names = async (filter: object) =>
    (await platform.tenants.list(filter)).tenants.map(({ name }) => name);
  expect(await names({ plan: "pro" })).toEqual(["solo"]);
  expect(await names({ isolation: "database" })).toEqual(["solo"]);
  expect(await names({ namePrefix: "acme-" })).toEqual(["acme-1", "acme-2", "acme-3"]);
  expect(await names({ namePrefix: "acme-", plan: "pro" })).toEqual([]);
  expect(await names({ status: "deleted" })).toEqual(["beta-1"]);
  expect(await names({ namePrefix: "%" })).toEqual([]);
  const foreign = { plan: "free", pageToken: first.nextPageToken };
  expect((await faultOf(platform.tenants.list(foreign))).code).toBe("INVALID_PAGE_TOKEN");
  for (const pageToken of ["x", "bnVsbA", "W10"]) {
    expect((await faultOf(platform.tenants.list({ pageToken }))).code).toBe("INVALID_PAGE_TOKEN");
  }
  expect((await faultOf(platform.tenants.list({ status: "ill" }))).code).toBe("INVALID_ARGUMENT");
  const noPlan = await faultOf(platform.tenants.list({ plan: "gold" }));
  expect(noPlan.code).toBe("PLAN_NOT_FOUND");
  expect(noPlan.message).toContain('There is no plan "gold": use one of free, pro, enterprise');
});

test("a tenant is not found by what can be no id and no name", async () => {
  for (const name of ["", "\0", "a".repeat(1000), "ten_x", "%"]) {
    expect((await faultOf(platform.tenants.get(name))).code).toBe("TENANT_NOT_FOUND");
  }
});
