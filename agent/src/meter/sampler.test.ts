/** Measuring real servers through the real driver, as an agent does. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectPlatform, connectTenant, generatePassword, scramVerifier } from "@aerodb/postgres";
import { type Sample, SampleSchema } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import { newSecret, silent } from "@aerodb/runtime";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Desired, DesiredTenant } from "../desired.ts";
import { UNKNOWN_USAGE } from "../drivers/driver.ts";
import { ProcessDriver } from "../drivers/process/process-driver.ts";
import { Host } from "../host.ts";
import { sampleInstance, sampleTenant } from "../sample-desired.ts";
import { EngineShelf } from "../storage/engine-shelf.ts";
import { TenantsInInstances } from "../tenants-in-instance.ts";
import { InstanceMeter } from "./instance-meter.ts";
import { meterLogin } from "./meter-login.ts";
import { renderMetrics, showMetrics } from "./metrics-server.ts";
import { Sampler } from "./sampler.ts";
import { openSampleSpool } from "./samples-spool.ts";

const password = generatePassword();
const rootPassword = newSecret();
const life = new AbortController();
const samples = openSampleSpool(":memory:");
const shared = sampleInstance();
const dedicated = sampleInstance({ shared: false });
let home: string;
let host: Host;
/** Beats only when it is told to; that of the host asks no server. */
let sampler: Sampler;
let verifier: string;
let tenants: readonly DesiredTenant[];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "agent-meter-"));
  await chmod(home, 0o711);
  verifier = await scramVerifier(password);
  const shelf = new EngineShelf({ directory: join(home, "engines"), search: {}, rootPassword });
  const uids = { base: 67_000_000, count: 100 };
  host = new Host({
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
  await host.start();
  sampler = new Sampler({
    ...{ home, state: host.state, driver: host.driver, logger: silent },
    samples,
    login: meterLogin(rootPassword),
    sampled: () => undefined,
  });
  tenants = [shared, shared, dedicated].map(({ spec }) => sampleTenant(spec.id, { verifier }));
  await desire({ instances: [shared, dedicated], tenants: [...tenants] });
});

afterAll(async () => {
  life.abort();
  await host.stopInstances();
  host.close();
  await rm(home, { recursive: true, force: true, maxRetries: 10 });
});

async function desire(desired: Desired): Promise<void> {
  for (const subject of host.state.desire(desired)) host.reconciler.look(subject, { now: true });
  await host.reconciler.idle();
}

async function connect(tenant: DesiredTenant | undefined) {
  if (tenant === undefined) throw new Error("a tenant was expected");
  const socketDirectory = host.state.seen(tenant.instanceId)?.running?.socketDirectory ?? "";
  return connectTenant({ socketDirectory, tenantId: tenant.tenantId, password });
}

/** Measures everything, and takes what was sampled since the last time. */
async function measured(): Promise<Sample[]> {
  await sampler.measureAll();
  const messages = samples.after(0n, 10_000);
  samples.acknowledge(messages.at(-1)?.sequence ?? 0n);
  return messages.map(({ body }) => fromBinary(SampleSchema, body));
}

test("the host, its instances and the tenants in shared ones are measured", async () => {
  const [first, second, solo] = tenants;
  const clients = [await connect(first), await connect(solo)];
  const found = await measured();
  const ofHost = found.find(({ instanceId }) => instanceId === "");
  expect(ofHost?.values).toMatchObject({
    load_1m: expect.any(Number),
    instances_running: 2,
    metering_connections: 2,
    metering_failures: 0,
  });
  expect(ofHost?.values["memory_total_bytes"]).toBeGreaterThan(100_000_000);
  expect(ofHost?.values["disk_free_bytes"]).toBeGreaterThan(0);
  for (const { spec } of [shared, dedicated]) {
    const own = found.find((each) => each.instanceId === spec.id && each.tenantId === "");
    // Of a sum that is seen for the first time nothing was added yet.
    expect(own?.values).not.toHaveProperty("deadlocks");
    expect(own?.values["connections"]).toBeGreaterThanOrEqual(1);
    expect(own?.values["storage_bytes"]).toBeGreaterThan(1_000_000);
  }
  const byTenant = new Map(found.map((each) => [each.tenantId, each]));
  expect(byTenant.get(first?.tenantId ?? "")?.values).toMatchObject({ connections: 1 });
  // Nothing is to be said of who has neither sessions nor data, or an instance of its own.
  expect(byTenant.has(second?.tenantId ?? "")).toBe(false);
  expect(byTenant.has(solo?.tenantId ?? "")).toBe(false);
  await Promise.all(clients.map((client) => client.end()));
});

test("numbers move with the work of the tenant that does it, and of no other", async () => {
  const [worker, neighbour] = tenants;
  const [client, idle] = [await connect(worker), await connect(neighbour)];
  await measured();
  await client.query(`create table ${worker?.tenantId}.t (n int, x text)`);
  await client.query(`insert into ${worker?.tenantId}.t
    select i, repeat('x', 100) from generate_series(1, 300000) i`);
  await client.query("select pg_catalog.pg_stat_force_next_flush()");
  let wal = 0;
  await expect
    .poll(
      async () => {
        const ofInstance = (await measured()).filter(
          ({ instanceId, tenantId }) => instanceId === shared.spec.id && tenantId === "",
        );
        for (const { values } of ofInstance) wal += values["wal_bytes"] ?? 0;
        return wal;
      },
      { timeout: 10_000, interval: 500 },
    )
    .toBeGreaterThan(10_000_000);
  const rows = [...sampler.board.rows()];
  const totals = (id: string | undefined) =>
    rows.find(({ measured: { tenantId } }) => tenantId === id)?.totals ?? {};
  expect(totals(worker?.tenantId).cpu_seconds).toBeGreaterThanOrEqual(0.05);
  expect(totals(neighbour?.tenantId).cpu_seconds).toBeLessThan(0.05);
  await Promise.all([client.end(), idle.end()]);
});

test("metrics are shown with their units, and tenants only where that was asked for", async () => {
  const { board } = sampler;
  const server = await showMetrics({
    ...{ board, port: 0, listenAddress: "127.0.0.1", tenants: false, version: "1.2.3" },
  });
  const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  const text = await answer.text();
  expect(answer.headers.get("content-type")).toContain("application/openmetrics-text");
  expect(text).toContain('aerodb_agent_build_info{version="1.2.3"');
  expect(text).toContain(`aerodb_instance_connections{instance_id="${shared.spec.id}"}`);
  expect(text).toMatch(/^# TYPE aerodb_host_cpu_seconds counter$/m);
  expect(text).toMatch(/^aerodb_host_cpu_seconds_total [0-9.]+$/m);
  expect(text).toMatch(/^aerodb_agent_metering_seconds_total [0-9.]+$/m);
  expect(text).toMatch(/^aerodb_agent_cpu_seconds_total [0-9.]+$/m);
  expect(text.trimEnd().endsWith("# EOF")).toBe(true);
  expect(text).not.toContain("tenant_id");
  expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(404);
  const head = await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  server.close();
  const told = await renderMetrics({ board, tenants: true, version: "1.2.3" });
  expect(told).toContain(`tenant_id="${tenants[0]?.tenantId}"`);
});

test("an instance whose login was lost gets it back, and is measured again", async () => {
  const socketDirectory = host.state.seen(dedicated.spec.id)?.running?.socketDirectory ?? "";
  const root = await connectPlatform({ socketDirectory, password: rootPassword });
  await root.query("drop owned by aerodb_meter; drop role aerodb_meter");
  const login = meterLogin(rootPassword);
  const running = host.state.seen(dedicated.spec.id)?.running;
  if (running === undefined) throw new Error("it runs");
  const meter = new InstanceMeter({
    ...{ running, shared: false, driver: host.driver, login, logger: silent },
  });
  expect((await meter.look()).failure).toContain("aerodb_meter");
  const look = await meter.look();
  expect(look.failure).toBeUndefined();
  expect(look.readings.storage_bytes).toBeGreaterThan(0);
  await root.end();
});

test("a server is asked when it worked or somebody came, and not for what idling takes", async () => {
  const running = host.state.seen(shared.spec.id)?.running;
  if (running === undefined) throw new Error("it runs");
  let usage = { ...UNKNOWN_USAGE, cpuSeconds: 1, processes: 5 };
  let mark = "one";
  const driver = { usage: async () => usage, records: { writeMark: async () => mark } };
  const login = meterLogin(rootPassword);
  const meter = new InstanceMeter({
    ...{ running, shared: true, driver, login, logger: silent },
  });
  async function isAskedAfter(seconds: number, processes: number): Promise<boolean> {
    usage = { ...usage, cpuSeconds: usage.cpuSeconds + seconds, processes };
    return (await meter.look()).asked;
  }
  expect(await isAskedAfter(0, 5)).toBe(true);
  expect(await isAskedAfter(0.03, 5)).toBe(false);
  expect(await isAskedAfter(0.04, 5)).toBe(true);
  meter.visited();
  expect(await isAskedAfter(0.06, 5)).toBe(false);
  expect(await isAskedAfter(0.06, 5)).toBe(true);
  expect(await isAskedAfter(0.03, 6)).toBe(false);
  expect(await isAskedAfter(0, 6)).toBe(true);
  expect(meter.isIdle).toBe(false);
  // What was written with little work is found too, and sooner than in ten minutes.
  mark = "another";
  expect(await isAskedAfter(0, 6)).toBe(false);
  const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 61_000);
  try {
    expect(await isAskedAfter(0, 6)).toBe(true);
    clock.mockReturnValue(performance.now() + 61_000);
    expect(await isAskedAfter(0, 6)).toBe(false);
  } finally {
    clock.mockRestore();
  }
});

test("a server that went away is neither measured nor shown any more", async () => {
  await desire({ instances: [{ ...dedicated, present: false, generation: 2n }], tenants: [] });
  await measured();
  const shown = [...sampler.board.rows()].map(({ measured }) => measured.instanceId);
  expect(shown).toContain(shared.spec.id);
  expect(shown).not.toContain(dedicated.spec.id);
});
