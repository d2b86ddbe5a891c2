import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { FakeAgent } from "./fake-agent.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import type { DesiredInstance } from "./fleet.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
const never = new AbortController().signal;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 2_000 });
});
afterEach(() => platform.close());

async function dedicated(): Promise<{ readonly agent: FakeAgent; instance(): DesiredInstance }> {
  const agent = await platform.addAgent("h1");
  await platform.create("solo", { plan: "pro" });
  return { agent, instance: () => [...agent.instances.values()][0] ?? expect.fail("none") };
}

function settle(settings: Readonly<Record<string, string>>, apply = "") {
  return platform.tenants.update(tester, "solo", { settings, apply });
}

test("settings reach the host as they are written, and are shown", async () => {
  const { instance } = await dedicated();
  const before = instance();
  const changed = await settle({ work_mem: "1 MB", enable_seqscan: "false" });
  expect(changed.postgres).toMatchObject({
    settings: { work_mem: "1MB", enable_seqscan: "off" },
    pendingRestart: [],
  });
  expect(instance()).toMatchObject({
    settings: { work_mem: "1MB", enable_seqscan: "off" },
    restartGeneration: 0n,
  });
  expect(instance().generation).toBeGreaterThan(before.generation);
  expect((await settle({ work_mem: "" })).postgres?.settings).toEqual({ enable_seqscan: "off" });
  const { generation } = instance();
  await settle({ work_mem: "", enable_seqscan: "off" });
  expect(instance().generation).toBe(generation); // Nothing changed: the host hears nothing.
});

test("what is not for tenants is refused with the list, and nothing at all is changed", async () => {
  const { instance } = await dedicated();
  const { generation } = instance();
  for (const settings of [
    { archive_command: "id" },
    { shared_preload_libraries: "evil", work_mem: "1MB" },
    { work_mem: "1MB'\nfsync = 'off" },
    { work_mem: "33MB" },
  ]) {
    const change = { settings, labels: { a: "1" } };
    const fault = await faultOf(platform.tenants.update(tester, "solo", change));
    expect(fault.code).toBe("INVALID_ARGUMENT");
    expect(fault.message).toMatch(/is not for tenants to set|work_mem must be a size/);
  }
  expect(instance().generation).toBe(generation);
  expect((await platform.tenants.get("solo")).labels).toEqual({});
  const wrong = await faultOf(settle({ work_mem: "1MB" }, "reboot"));
  expect(wrong.message).toContain("use restart");
});

test("a smaller plan is refused while a setting would be too large for it", async () => {
  await platform.addAgent("h1");
  await platform.create("solo", { plan: "enterprise", isolation: "database" });
  await settle({ work_mem: "200MB" });
  const shrink = { plan: "pro" };
  const fault = await faultOf(platform.tenants.update(tester, "solo", shrink));
  expect(fault).toMatchObject({ code: "INVALID_ARGUMENT" });
  const both = await platform.tenants.update(tester, "solo", {
    ...shrink,
    settings: { work_mem: "" },
  });
  expect(both).toMatchObject({ plan: "pro", postgres: { settings: {} } });
});

/** As a real one: what it was started with stays until it is restarted. */
function stubborn(): (instance: DesiredInstance) => { readonly pendingRestart: readonly string[] } {
  let started: DesiredInstance | undefined;
  return (instance) => {
    if (started === undefined || instance.restartGeneration > started.generation)
      started = instance;
    const same = started.settings["shared_buffers"] === instance.settings["shared_buffers"];
    return { pendingRestart: same ? [] : ["shared_buffers"] };
  };
}

test("what needs a restart is said, and nothing restarts until that is asked for", async () => {
  const agent = await platform.addAgent("h1", { ofInstance: stubborn() });
  await platform.create("solo", { plan: "pro" });
  const waiting = await settle({ shared_buffers: "32MB", work_mem: "1MB" });
  expect(waiting.postgres?.pendingRestart).toEqual(["shared_buffers"]);
  const [before] = agent.instances.values();
  expect(before?.restartGeneration).toBe(0n);
  expect((await settle({ work_mem: "2MB" })).postgres?.pendingRestart).toEqual(["shared_buffers"]);

  const restarted = await platform.tenants.restart(tester, "solo", never);
  expect(restarted.postgres).toMatchObject({ pendingRestart: [] });
  const [after] = agent.instances.values();
  expect(after?.restartGeneration).toBe(after?.generation);
  const again = await settle({ shared_buffers: "16MB" }, "restart");
  expect(again.postgres).toMatchObject({
    settings: { shared_buffers: "16MB" },
    pendingRestart: [],
  });
  const { generation = 0n } = [...agent.instances.values()][0] ?? {};
  await settle({ work_mem: "3MB" }, "restart"); // Nothing waits: nothing restarts.
  expect([...agent.instances.values()][0]?.restartGeneration).toBe(generation);
});

test("while the host is away, what is expected to wait is said", async () => {
  const { agent } = await dedicated();
  await agent.stop();
  const changed = await settle({ shared_buffers: "32MB", work_mem: "1MB" });
  expect(changed.postgres?.pendingRestart).toEqual(["shared_buffers"]);
});

test("a host that cannot bring a change about says so to the caller", async () => {
  const reason = "Storage never shrinks.";
  await platform.addAgent("h1", {
    ofInstance: ({ settings }) => ("work_mem" in settings ? { reason } : {}),
  });
  await platform.create("solo", { plan: "pro" });
  const fault = await faultOf(settle({ work_mem: "1MB" }));
  expect(fault).toMatchObject({ code: "OPERATION_FAILED" });
  expect(fault.message).toContain(reason);
});

test("a tenant of a shared instance has neither settings nor a restart of its own", async () => {
  await platform.addAgent("h1");
  await platform.create("solo");
  expect((await faultOf(settle({ work_mem: "1MB" }))).code).toBe("SHARED_INSTANCE");
  const restart = platform.tenants.restart(tester, "solo", never);
  expect((await faultOf(restart)).code).toBe("SHARED_INSTANCE");
});

test("an extension of the list is wished for once, and answered when it is there", async () => {
  const agent = await platform.addAgent("h1");
  const { id } = await platform.create("solo");
  const install = (name: string) => platform.tenants.installExtension(tester, "solo", name, never);
  expect((await install("citext")).postgres?.extensions).toEqual(["citext"]);
  expect(agent.tenants.get(id)?.extensions).toEqual(["citext"]);
  const { generation } = agent.tenants.get(id) ?? {};
  await install("citext");
  expect(agent.tenants.get(id)?.generation).toBe(generation);
  expect((await install("uuid-ossp")).postgres?.extensions).toEqual(["citext", "uuid-ossp"]);
  for (const name of ["dblink", "plperlu", "citext;", "CITEXT", ""]) {
    const fault = await faultOf(install(name));
    expect(fault).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(fault.message).toContain("Allowed are: btree_gin,");
  }
});

test("an extension that the engine lacks is refused with the reason, and wished for no more", async () => {
  const reason = "The engine comes without the extension seg.";
  const agent = await platform.addAgent("h1", {
    ofTenant: ({ extensions }) => (extensions.includes("seg") ? { state: "failed", reason } : {}),
  });
  const { id } = await platform.create("solo");
  const fault = await faultOf(platform.tenants.installExtension(tester, "solo", "seg", never));
  expect(fault).toMatchObject({ code: "OPERATION_FAILED" });
  expect(fault.message).toContain(reason);
  while (agent.tenants.get(id)?.extensions.length !== 0) await agent.pull();
});

test("every change is an event with who made it and what is another than before", async () => {
  await dedicated();
  await settle({ work_mem: "1MB" });
  await platform.tenants.restart(tester, "solo", never);
  await platform.tenants.installExtension(tester, "solo", "hstore", never);
  const events = await platform.catalogue.database.query<{ kind: string; actor: string }>(sql`
    select kind, actor, before, after from events where kind in
      ('tenant.settings', 'tenant.restart', 'tenant.extensions') order by id`);
  const actor = tester.principal;
  expect(events).toMatchObject([
    { kind: "tenant.settings", actor, before: { settings: {} } },
    { kind: "tenant.restart", actor, before: null, after: null },
    { kind: "tenant.extensions", actor },
  ]);
  expect(events[0]).toHaveProperty("after.settings.work_mem");
});
