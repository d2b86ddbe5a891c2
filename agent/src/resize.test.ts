/** What is changed of a running instance, as its tenant sees it: real servers. */
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { connectTenant, generatePassword, scramVerifier } from "@aerodb/postgres";
import { armFailpoints, newSecret, silent } from "@aerodb/runtime";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { DesiredInstance, DesiredTenant } from "./desired.ts";
import { ProcessDriver } from "./drivers/process/process-driver.ts";
import { Host } from "./host.ts";
import type { InstanceSpec } from "./instance-spec.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import { EngineShelf } from "./storage/engine-shelf.ts";
import { TenantsInInstances } from "./tenants-in-instance.ts";

const password = generatePassword();
const rootPassword = newSecret();
let directory: string;
let shelf: EngineShelf;
let home: string;
let life: AbortController;
let host: Host;
let instance: DesiredInstance;
let tenant: DesiredTenant;

async function startHost(): Promise<Host> {
  life = new AbortController();
  const uids = { base: 67_000_000, count: 100 };
  const started = new Host({
    home,
    driver: new ProcessDriver({ home, shelf, uids, logger: silent }),
    tenants: (state) =>
      new TenantsInInstances({
        password: rootPassword,
        keep: () => 1,
        isShared: (id) => state.instance(id)?.spec.shared ?? false,
        logger: silent,
      }),
    logger: silent,
    signal: life.signal,
  });
  await started.start();
  return started;
}

async function restartHost(): Promise<void> {
  life.abort();
  await host.reconciler.idle();
  host.close();
  host = await startHost();
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "agent-resize-"));
  await chmod(directory, 0o711);
  shelf = new EngineShelf({ directory: join(directory, "engines"), search: {}, rootPassword });
  await shelf.ready(18);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

beforeEach(async () => {
  home = await mkdtemp(join(directory, "home-"));
  await chmod(home, 0o711);
  host = await startHost();
  instance = sampleInstance({ shared: false, maxConnections: 10, memoryMiB: 128 });
  tenant = sampleTenant(instance.spec.id, { verifier: await scramVerifier(password) });
  await desire({});
});
afterEach(async () => {
  life.abort();
  await host.stopInstances();
  host.close();
});

/** A change of the spec, as control would send it. */
async function desire(change: Partial<InstanceSpec>): Promise<void> {
  const generation = instance.generation + 1n;
  instance = { ...instance, generation, spec: { ...instance.spec, ...change } };
  const changed = host.state.desire({ instances: [instance], tenants: [tenant] });
  for (const subject of changed) host.reconciler.look(subject, { now: true });
  await host.reconciler.idle();
}

function status() {
  return host.reconciler.instanceStatus(instance);
}

function pidOf(): number | undefined {
  return host.state.seen(instance.spec.id)?.running?.pid;
}

async function connect() {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const { socketDirectory } = running;
  const client = await connectTenant({ socketDirectory, tenantId: tenant.tenantId, password });
  const show = async (name: string): Promise<unknown> =>
    Object.values((await client.query(`show ${name}`)).rows[0] ?? {})[0];
  return { client, show };
}

test("a setting is in force in sessions that are open, and no server was restarted for it", async () => {
  const pid = pidOf();
  const { client, show } = await connect();
  await desire({ settings: { work_mem: "8MB", random_page_cost: "1.1" } });
  expect(status()).toMatchObject({ kind: "running", pendingRestart: [], reason: "" });
  expect([await show("work_mem"), await show("random_page_cost")]).toEqual(["8MB", "1.1"]);
  await desire({ settings: {} });
  expect(await show("random_page_cost")).toBe("4");
  expect(pidOf()).toBe(pid);
  await client.end();
});

test("a larger instance says what waits for a restart, and has it after one", async () => {
  const pid = pidOf();
  await desire({ memoryMiB: 512, maxConnections: 50 });
  expect(status()).toMatchObject({ pendingRestart: ["max_connections", "shared_buffers"] });
  expect(pidOf()).toBe(pid);
  await restartHost();
  await desire({}); // The next agent knows what waits, from the file.
  expect(status()).toMatchObject({ pendingRestart: ["max_connections", "shared_buffers"] });
  expect(pidOf()).toBe(pid);

  const open = await connect();
  const ended = open.client.query("select pg_sleep(60)").catch(({ code }) => code);
  await desire({ restartGeneration: instance.generation + 1n });
  expect(await ended).toBe("57P01"); // Told so, in so many words.
  expect(pidOf()).not.toBe(pid);
  expect(status()).toMatchObject({ kind: "running", pendingRestart: [] });
  const { client, show } = await connect();
  expect([await show("max_connections"), await show("shared_buffers")]).toEqual(["55", "64MB"]);
  await client.end();
  await open.client.end().catch(() => undefined);
});

/** What one process of the server may have of memory of its own, as the kernel knows it. */
async function dataLimitMiB(): Promise<number> {
  const limits = await readFile(`/proc/${pidOf()}/limits`, "utf8");
  return Number(/^Max data size\s+(\d+)/m.exec(limits)?.[1]) / 2 ** 20;
}

test("a smaller instance keeps its memory until what it was sized to is given back", async () => {
  await desire({ memoryMiB: 512, restartGeneration: 2n });
  expect(await dataLimitMiB()).toBe(256);
  await desire({ memoryMiB: 192, maxConnections: 5 });
  const waiting = ["max_connections", "memory", "shared_buffers"];
  expect(status()).toMatchObject({ kind: "running", pendingRestart: waiting });
  expect(await dataLimitMiB()).toBe(256);
  await restartHost();
  await desire({ settings: { work_mem: "2MB" } }); // The next agent knows it, from the file.
  expect(status()).toMatchObject({ kind: "running", pendingRestart: waiting });
  expect(await dataLimitMiB()).toBe(256);
  await desire({ restartGeneration: instance.generation + 1n });
  expect(status()).toMatchObject({ kind: "running", pendingRestart: [] });
  expect(await dataLimitMiB()).toBe(96);
});

test("one restart is one restart, whoever asks again", async () => {
  await desire({ restartGeneration: 7n });
  const pid = pidOf();
  await desire({});
  host.reconciler.lookAtDrift();
  await host.reconciler.idle();
  await restartHost();
  await desire({});
  expect(pidOf()).toBe(pid);
});

test("what control should never have let through is left out, and the tenant served", async () => {
  await desire({
    settings: { shared_preload_libraries: "evil", archive_command: "id", work_mem: "2MB" },
  });
  expect(status()).toMatchObject({ kind: "running", pendingRestart: [], reason: "" });
  const { client, show } = await connect();
  expect(await show("work_mem")).toBe("2MB");
  await client.end();
  await desire({ restartGeneration: 9n });
  const again = await connect();
  expect(await again.show("work_mem")).toBe("2MB");
  await again.client.end();
});

test("a limit that cannot be had is said, and keeps no setting from being in force", async () => {
  const { driver } = host;
  const resize = driver.resize.bind(driver);
  driver.resize = async () => {
    throw new Fault("UNAVAILABLE", "A volume does not shrink.");
  };
  await desire({ storageMiB: 1, settings: { work_mem: "2MB" } });
  expect(status()).toMatchObject({ kind: "running", reason: "A volume does not shrink." });
  const { client, show } = await connect();
  expect(await show("work_mem")).toBe("2MB");
  await client.end();
  driver.resize = resize;
  await desire({ storageMiB: 0 });
  expect(status()).toMatchObject({ kind: "running", reason: "" });
});

test("an extension is there once the tenant is ready with it", async () => {
  tenant = { ...tenant, generation: 2n, extensions: ["citext"] };
  await desire({});
  expect(host.reconciler.tenantStatus(tenant)).toEqual({ kind: "ready" });
  const { client } = await connect();
  const { rows } = await client.query("select pg_typeof('A'::extensions.citext)::text as type");
  expect(rows).toEqual([{ type: "extensions.citext" }]);
  await client.end();
});

const FAILPOINTS = ["resize", "configured", "limited", "reloaded", "noted"];
test.each(FAILPOINTS)("an agent that fails at agent.instance.%s does it again", async (name) => {
  armFailpoints(`agent.instance.${name}=throw`);
  await desire({ settings: { work_mem: "8MB" } });
  const refused = status();
  armFailpoints("");
  await restartHost();
  await desire({});
  expect(refused).toMatchObject({ kind: "running", reason: expect.stringContaining(name) });
  expect(status()).toMatchObject({ kind: "running", reason: "" });
  const { client, show } = await connect();
  expect(await show("work_mem")).toBe("8MB");
  await client.end();
});
