import { sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import { parseScramVerifier } from "@aerodb/postgres";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import {
  askFor,
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getOperation, listOperations } from "./operations.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server);
});
afterEach(() => platform.close());

test("a schema tenant is active with a password that is kept as a verifier only", async () => {
  await platform.addAgent("h1");
  const tenant = await platform.create("acme-corp", { labels: { team: "a" } });
  expect(tenant).toMatchObject({
    name: "acme-corp",
    plan: "free",
    region: "us-east-1",
    isolation: "schema",
    status: "active",
    statusReason: "",
    labels: { team: "a" },
    databaseUrl: "https://acme-corp.localhost",
    connection: { host: "127.0.0.1", port: 6432, database: "acme-corp", user: tenant.id },
  });
  const { password, uri } = tenant.connection;
  expect(password.length).toBeGreaterThanOrEqual(32);
  expect(uri).toBe(`postgres://${tenant.id}:${password}@127.0.0.1:6432/acme-corp`);
  const [row] = await platform.catalogue.database.query<{ verifier: string; all: string }>(sql`
    select verifier, to_json(t)::text || (select json_agg(e)::text from events e) as all
      from tenants t`);
  expect(parseScramVerifier(row?.verifier ?? "")).toBeDefined();
  expect(row?.all).not.toContain(password);
  const again = await platform.tenants.get("acme-corp");
  expect(again.connection).toMatchObject({ password: "", uri: expect.not.stringContaining(":@") });
  expect(await platform.tenants.get(tenant.id)).toEqual(again);
});

test("its operation is done with its steps, and the gateways know its route", async () => {
  await platform.addAgent("h1");
  const tenant = await platform.create("acme");
  const { operations } = await listOperations(platform.control, { tenantId: tenant.id });
  expect(operations).toMatchObject([
    {
      kind: "create_tenant",
      done: true,
      error: "",
      steps: [{ name: "placed" }, { name: "ready" }],
    },
  ]);
  const { routes, endpoints, generation } = await platform.fleet.routesWhole();
  expect(routes).toMatchObject([{ tenantId: tenant.id, name: "acme", state: "active" }]);
  const socketDirectory = expect.stringContaining("/run/ins_");
  expect(endpoints).toMatchObject([{ socketDirectory, database: "aerodb", gone: false }]);
  expect(platform.covered).toEqual([generation]);
});

test("a database tenant gets an instance of its own, which its host reserves for", async () => {
  const agent = await platform.addAgent("h1");
  await platform.create("one", { plan: "pro" });
  await platform.create("two", { plan: "pro" });
  expect([...agent.instances.values()]).toMatchObject([
    { shared: false, memoryMiB: 128, cpuMillis: 100, maxConnections: 100, engineMajor: 18 },
    { shared: false },
  ]);
  const [host] = await platform.catalogue.database.query(sql`
    select reserved_memory_mib as memory, reserved_cpu_millis as cpu from hosts`);
  expect(host).toEqual({ memory: 256, cpu: 200 });
});

test("of 50 creates of one name one wins and 49 are told that the name exists", async () => {
  await platform.addAgent("h1");
  const creates = Array.from({ length: 50 }, () => platform.create("acme"));
  const settled = await Promise.allSettled(creates);
  const refused = settled.flatMap((each) => (each.status === "rejected" ? [each.reason.code] : []));
  expect(refused).toEqual(Array.from({ length: 49 }, () => "TENANT_NAME_EXISTS"));
  expect(await platform.count("tenants")).toBe(1);
  expect(await platform.count("operations")).toBe(1);
});

test("50 first schema tenants at once share one instance", async () => {
  const agent = await platform.addAgent("h1");
  await Promise.all(Array.from({ length: 50 }, (_, index) => platform.create(`tenant-${index}`)));
  expect(await platform.count("instances")).toBe(1);
  expect(agent.tenants.size).toBe(50);
  const [instance] = await platform.catalogue.database.query(sql`
    select tenant_count as tenants from instances`);
  expect(instance).toEqual({ tenants: 50 });
});

test("a host that fills up meanwhile takes no more than it has", async () => {
  await platform.addAgent("h1", { memoryMiB: 128 * 5 });
  const creates = Array.from({ length: 12 }, (_, index) =>
    platform.create(`tenant-${index}`, { plan: "pro" }),
  );
  const settled = await Promise.allSettled(creates);
  const refused = settled.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  expect(refused).toHaveLength(7);
  expect(new Set(refused.map((each) => each.code))).toEqual(new Set(["NO_FEASIBLE_HOST"]));
  expect(await platform.count("instances")).toBe(5);
});

test("a cluster is refused with a reason for every host and leaves nothing behind", async () => {
  await platform.addAgent("h1");
  await platform.addHost("h2");
  const fault = await faultOf(platform.create("acme", { plan: "enterprise" }));
  expect(fault.code).toBe("NO_FEASIBLE_HOST");
  expect(fault.message).toBe("No host can take the tenant. 2 hosts: 2 no cluster placement.");
  expect(fault.details).toMatchObject({
    hosts: [
      { host: "h1", reason: expect.stringContaining("exclusive") },
      { host: "h2", reason: expect.stringContaining("exclusive") },
    ],
  });
  expect(await platform.count("tenants")).toBe(0);
  expect(await platform.count("instances")).toBe(0);
  expect(await platform.count("operations")).toBe(0);
});

test("what is wrong with a request is said, each by its code", async () => {
  await platform.addAgent("h1");
  const codes = [
    ["Bad_Name", {}, "INVALID_TENANT_NAME"],
    ["acme", { plan: "gold" }, "PLAN_NOT_FOUND"],
    ["acme", { region: "mars" }, "REGION_NOT_FOUND"],
    ["acme", { isolation: "vm" }, "INVALID_ISOLATION_MODEL"],
    ["acme", { isolation: "database" }, "INVALID_ISOLATION_MODEL"],
    ["acme", { labels: { a: "\0" } }, "INVALID_ARGUMENT"],
    ["acme", { plan: "\ud800" }, "INVALID_ARGUMENT"],
  ] as const;
  for (const [name, over, code] of codes) {
    expect((await faultOf(platform.create(name, over))).code, JSON.stringify(over)).toBe(code);
  }
  await platform.addHost("h2", "eu-west-1");
  const fault = await faultOf(platform.create("acme"));
  expect(fault).toMatchObject({
    code: "REGION_NOT_FOUND",
    message: "Name a region. Known are: eu-west-1, us-east-1.",
    details: { regions: ["eu-west-1", "us-east-1"] },
  });
});

test("a repeat of a request id gives the same tenant without the password", async () => {
  await platform.addAgent("h1");
  const first = await platform.create("acme", { requestId: "r1" });
  const repeat = await platform.create("acme", { requestId: "r1" });
  expect(repeat).toMatchObject({ id: first.id, connection: { password: "" } });
  const other = await faultOf(platform.create("other", { requestId: "r1" }));
  expect(other.code).toBe("REQUEST_ID_REUSED");
  const ask = askFor("beta", { requestId: "r1" });
  const stranger = { principal: "key_other", requestId: "" };
  const never = new AbortController().signal;
  expect(await platform.tenants.create(stranger, ask, never)).toMatchObject({ name: "beta" });
});

test("repeats that race are one tenant, and only one answer has the password", async () => {
  await platform.addAgent("h1");
  const creates = Array.from({ length: 10 }, () => platform.create("acme", { requestId: "r1" }));
  const made = await Promise.all(creates);
  expect(new Set(made.map(({ id }) => id)).size).toBe(1);
  expect(made.filter(({ connection }) => connection.password !== "")).toHaveLength(1);
});

test("a caller that waited too long asks after the operation, and the tenant comes", async () => {
  await platform.close();
  platform = await openPlatform(server, { waitMs: 50 });
  const agent = await platform.addAgent("h1", { reports: false });
  const fault = await faultOf(platform.create("acme"));
  expect(fault).toMatchObject({ code: "OPERATION_TIMED_OUT" });
  const operationId = String(fault.details["operation_id"]);
  expect(await getOperation(platform.control, operationId)).toMatchObject({ done: false });
  const [host] = await platform.catalogue.database.query<{ id: HostId }>(sql`select id from hosts`);
  await platform.fleet.takeObserved(host?.id as HostId, await agent.pull());
  expect(await getOperation(platform.control, operationId)).toMatchObject({ done: true });
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "active" });
});

test("a caller that goes away leaves its tenant to be made", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const caller = new AbortController();
  const create = platform.tenants.create(tester, askFor("acme"), caller.signal);
  const left = expect(create).rejects.toThrow("gone");
  while ((await platform.count("tenants")) === 0) await agent.pull();
  caller.abort(new Error("gone"));
  await left;
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "creating" });
});
