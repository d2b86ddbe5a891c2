/** A host with real servers: what control desires, as a tenant and as a gateway see it. */
import { chmod, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { connectPlatform, connectTenant, generatePassword, scramVerifier } from "@aerodb/postgres";
import { SampleSchema } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import {
  ConnectRequestSchema,
  HostEdgeService,
} from "@aerodb/rpc/aerodb/edge/v1/host_edge_service_pb.js";
import { newSecret, silent, sleep, within } from "@aerodb/runtime";
import { callUnary, openStream } from "@aerodb/wire";
import { create, fromBinary } from "@bufbuild/protobuf";
import { Client, credentials, ServerCredentials } from "@grpc/grpc-js";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  expect,
  onTestFinished,
  test,
  vi,
} from "vitest";
import type { Desired, DesiredTenant } from "./desired.ts";
import { ProcessDriver } from "./drivers/process/process-driver.ts";
import { type Edge, serveEdge } from "./edge.ts";
import { Host } from "./host.ts";
import { backendMemoryBytes } from "./limits/group-limits.ts";
import { childrenOf } from "./meter/backends.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import { EngineShelf } from "./storage/engine-shelf.ts";
import { TenantsInInstances } from "./tenants-in-instance.ts";

const DAY_MS = 86_400_000;
const password = generatePassword();
const rootPassword = newSecret();
let directory: string;
let shelf: EngineShelf;
let home: string;
/** What a session of the platform may have of memory. */
const PLATFORM_BYTES = 300 * 2 ** 20;
let life: AbortController;
let host: Host;
let verifier: string;

async function startHost(): Promise<Host> {
  life = new AbortController();
  const started = new Host({
    home,
    driver: new ProcessDriver({
      home,
      shelf,
      uids: { base: 66_000_000, count: 100 },
      logger: silent,
    }),
    tenants: (state) =>
      new TenantsInInstances({
        password: rootPassword,
        keep: () => 1,
        isShared: (id) => state.instance(id)?.spec.shared ?? false,
        memoryOf: () => PLATFORM_BYTES,
        logger: silent,
      }),
    hung: { afterMs: 3_000, pauseMs: 100, answerMs: 1_000 },
    logger: silent,
    signal: life.signal,
  });
  await started.start();
  return started;
}

async function stopHost(): Promise<void> {
  life.abort();
  await host.reconciler.idle();
  host.close();
}

async function desire(desired: Desired): Promise<void> {
  for (const subject of host.state.desire(desired)) host.reconciler.look(subject, { now: true });
  await host.reconciler.idle();
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "agent-host-"));
  await chmod(directory, 0o711);
  shelf = new EngineShelf({ directory: join(directory, "engines"), search: {}, rootPassword });
  verifier = await scramVerifier(password);
  await shelf.ready(18);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

beforeEach(async () => {
  home = await mkdtemp(join(directory, "home-"));
  await chmod(home, 0o711);
  host = await startHost();
});

afterEach(async () => {
  life.abort();
  await host.stopInstances();
  host.close();
});

function socketOf(id: InstanceId): string {
  const running = host.state.seen(id)?.running;
  if (running === undefined) throw new Error(`${id} does not run`);
  return running.socketDirectory;
}

async function asTenant(tenant: DesiredTenant, statement: string): Promise<unknown> {
  const { tenantId } = tenant;
  const socketDirectory = socketOf(tenant.instanceId);
  const client = await connectTenant({ socketDirectory, tenantId, password });
  try {
    return (await client.query({ text: statement, rowMode: "array" })).rows;
  } finally {
    await client.end();
  }
}

const shared = sampleInstance();
const dedicated = sampleInstance({ shared: false });

test("tenants are made in shared and dedicated instances, and leave nothing behind", async () => {
  const tenants = [
    sampleTenant(shared.spec.id, { verifier }),
    sampleTenant(dedicated.spec.id, { verifier }),
  ];
  await desire({ instances: [shared, dedicated], tenants });
  for (const tenant of tenants) {
    expect(host.reconciler.tenantStatus(tenant)).toEqual({ kind: "ready" });
    const made = `create table "${tenant.tenantId}".t (n int)`;
    await asTenant(tenant, made);
    const guarded = await asTenant(
      tenant,
      `select relrowsecurity from pg_class where oid = '"${tenant.tenantId}".t'::regclass`,
    );
    expect(guarded).toEqual([[tenant.instanceId === shared.spec.id]]);
  }

  await desire({
    instances: [{ ...dedicated, present: false, generation: 2n }],
    tenants: tenants.map((tenant) => ({ ...tenant, present: false, generation: 2n })),
  });
  const statuses = tenants.map(({ tenantId }) => {
    const desired = host.state.tenant(tenantId);
    return desired && host.reconciler.tenantStatus(desired)?.kind;
  });
  expect(statuses).toEqual(["absent", "absent"]);
  expect(await readdir(join(home, "instances"))).toEqual([shared.spec.id]);
  expect(await readdir(join(home, "run"))).toHaveLength(1);
  const running = host.state.seen(shared.spec.id)?.running;
  expect(running && (await host.tenants.list(running))).toEqual([]);
});

test("a killed server comes back by itself, and a gateway may wait for it", async () => {
  const tenant = sampleTenant(dedicated.spec.id, { verifier });
  await desire({ instances: [dedicated], tenants: [tenant] });
  const killed = host.state.seen(dedicated.spec.id)?.running;
  const pid = killed?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  await killed?.exited;
  const soon = Date.now() + 10_000;
  await Promise.all([1, 2, 3].map(() => host.wakings.wake(dedicated.spec.id, soon)));
  expect(host.state.seen(dedicated.spec.id)?.running?.pid).not.toBe(pid);
  expect(await asTenant(tenant, "select 1")).toEqual([[1]]);
});

test("a server that hangs is ended once a gateway asks for it, before the next look", async () => {
  const tenant = sampleTenant(dedicated.spec.id, { verifier });
  await desire({ instances: [dedicated], tenants: [tenant] });
  const hung = host.state.seen(dedicated.spec.id)?.running;
  process.kill(hung?.pid ?? 0, "SIGSTOP");
  await host.wakings.wake(dedicated.spec.id, Date.now() + 10_000);
  await hung?.exited;
  await host.wakings.wake(dedicated.spec.id, Date.now() + 10_000);
  expect(host.state.seen(dedicated.spec.id)?.running?.pid).not.toBe(hung?.pid);
  expect(await asTenant(tenant, "select 1")).toEqual([[1]]);
});

test.each([-DAY_MS, DAY_MS])(
  "a clock that jumps by %d ms keeps nothing waiting",
  async (jumpMs) => {
    const tenant = sampleTenant(dedicated.spec.id, { verifier });
    await desire({ instances: [dedicated], tenants: [tenant] });
    const killed = host.state.seen(dedicated.spec.id)?.running;
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + jumpMs });
    onTestFinished(() => void vi.useRealTimers());
    process.kill(killed?.pid ?? 0, "SIGKILL");
    await killed?.exited;
    await host.wakings.wake(dedicated.spec.id, Date.now() + 10_000);
    expect(await asTenant(tenant, "select 1")).toEqual([[1]]);
    const late = sampleTenant(shared.spec.id, { verifier });
    await desire({ instances: [shared], tenants: [late] });
    expect(await asTenant(late, "select 1")).toEqual([[1]]);
    await host.sampler.measureAll();
    const measured = host.samples.after(0n, 100).map(({ body }) => fromBinary(SampleSchema, body));
    expect(measured.length).toBeGreaterThan(0);
    expect(measured.filter(({ seconds }) => seconds > DAY_MS / 2_000)).toEqual([]);
  },
);

test("an agent that starts again adopts servers, and restarts those that died meanwhile", async () => {
  const tenants = [
    sampleTenant(shared.spec.id, { verifier }),
    sampleTenant(dedicated.spec.id, { verifier }),
  ];
  const desired = { instances: [shared, dedicated], tenants };
  await desire(desired);
  const before = host.state.seen(shared.spec.id)?.running?.pid;
  const dying = host.state.seen(dedicated.spec.id)?.running;
  await stopHost();
  process.kill(dying?.pid ?? 0, "SIGKILL");
  await dying?.exited;

  host = await startHost();
  await desire(desired);
  expect(host.state.seen(shared.spec.id)?.running?.pid).toBe(before);
  expect(host.state.seen(dedicated.spec.id)?.running?.pid).not.toBe(dying?.pid);
  for (const tenant of tenants) {
    expect(host.reconciler.tenantStatus(tenant)).toEqual({ kind: "ready" });
    expect(await asTenant(tenant, "select 1")).toEqual([[1]]);
  }
});

test("sessions of the platform may have more memory than those of tenants", async () => {
  const tenant = sampleTenant(shared.spec.id, { verifier });
  await desire({ instances: [shared], tenants: [tenant] });
  const client = await connectTenant({
    socketDirectory: socketOf(shared.spec.id),
    tenantId: tenant.tenantId,
    password,
  });
  const limits: [role: string, bytes: number][] = [];
  for (const pid of childrenOf(host.state.seen(shared.spec.id)?.running?.pid ?? 0)) {
    const [title, said] = await Promise.all(
      ["cmdline", "limits"].map((name) => readFile(`/proc/${pid}/${name}`, "latin1")),
    );
    const [, role = ""] = /^postgres: (\w+) aerodb /.exec(title ?? "") ?? [];
    limits.push([role, Number(/^Max data size +(\d+)/m.exec(said ?? "")?.[1])]);
  }
  await client.end();
  expect(limits).toContainEqual([tenant.tenantId, backendMemoryBytes(shared.spec)]);
  expect(limits).toContainEqual(["aerodb_root", PLATFORM_BYTES]);
});

test("what was changed inside a server is repaired", async () => {
  const tenant = sampleTenant(shared.spec.id, { verifier });
  await desire({ instances: [shared], tenants: [tenant] });
  const socketDirectory = socketOf(shared.spec.id);
  const root = await connectPlatform({ socketDirectory, password: rootPassword });
  await root.query(`alter role ${tenant.tenantId} nologin connection limit 77 password null`);
  await root.end();
  await expect(asTenant(tenant, "select 1")).rejects.toThrow();
  await host.reconciler.checkDrift(shared.spec.id);
  await host.reconciler.idle();
  expect(await asTenant(tenant, "select 1")).toEqual([[1]]);
});

test("a changed password is the one that counts", async () => {
  const old = sampleTenant(shared.spec.id);
  await desire({ instances: [shared], tenants: [old] });
  const tenant = { ...old, verifier, generation: 2n };
  await desire({ instances: [], tenants: [tenant] });
  expect(await asTenant(tenant, "select 1")).toEqual([[1]]);
});

test("an instance nobody wants is refused to gateways", async () => {
  const soon = Date.now() + 1_000;
  const fault = { code: "INSTANCE_NOT_FOUND" };
  await expect(host.wakings.wake(shared.spec.id, soon)).rejects.toMatchObject(fault);
});

async function withEdge(
  isGateway: boolean,
  work: (client: Client, edge: Edge) => Promise<void>,
): Promise<void> {
  const edge = await serveEdge({
    wakings: host.wakings,
    credentials: ServerCredentials.createInsecure(),
    listenAddress: "127.0.0.1",
    port: 0,
    isGateway: () => isGateway,
  });
  const client = new Client(`127.0.0.1:${edge.port}`, credentials.createInsecure());
  try {
    await work(client, edge);
  } finally {
    client.close();
    edge.close();
  }
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

test("a gateway's bytes reach the server and come back, until either side is done", async () => {
  await desire({ instances: [shared], tenants: [] });
  await withEdge(true, async (client) => {
    await callUnary(
      client,
      HostEdgeService.method.wake,
      { instanceId: shared.spec.id },
      { deadlineMs: 5_000 },
    );
    const stream = openStream(client, HostEdgeService.method.connect);
    const answer = new Promise<string>((resolve, reject) => {
      stream.on("data", ({ data }) => resolve(Buffer.from(data).toString()));
      stream.on("error", reject);
    });
    const ended = new Promise((resolve) => stream.on("end", () => resolve("ended")));
    stream.write(create(ConnectRequestSchema, { instanceId: shared.spec.id }));
    stream.write(create(ConnectRequestSchema, { data: SSL_REQUEST }));
    expect(await answer).toBe("N");
    stream.end();
    expect(await within({ ms: 5_000, expecting: "the end" }, ended)).toBe("ended");
  });
});

test("a server that ends takes the relayed connection along", async () => {
  await desire({ instances: [shared], tenants: [] });
  await withEdge(true, async (client) => {
    const stream = openStream(client, HostEdgeService.method.connect);
    const ended = new Promise((resolve) => {
      stream.on("error", resolve);
      stream.on("end", () => resolve("ended"));
    });
    const first = new Promise((resolve) => stream.on("data", resolve));
    stream.write(create(ConnectRequestSchema, { instanceId: shared.spec.id, data: SSL_REQUEST }));
    await first;
    process.kill(host.state.seen(shared.spec.id)?.running?.pid ?? 0, "SIGKILL");
    await within({ ms: 10_000, expecting: "the stream to end" }, ended);
  });
});

test("who is no gateway is refused", async () => {
  await withEdge(false, async (client) => {
    const call = callUnary(
      client,
      HostEdgeService.method.wake,
      { instanceId: shared.spec.id },
      { deadlineMs: 5_000 },
    );
    await expect(call).rejects.toMatchObject({ code: 7 });
  });
});

test("a host that shuts down stops every server, even one that is just being started", async () => {
  const instances = [shared, dedicated, sampleInstance({ shared: false })];
  await desire({ instances: [shared], tenants: [] });
  for (const subject of host.state.desire({ instances, tenants: [] })) {
    host.reconciler.look(subject);
  }
  await sleep(60);
  life.abort();
  await host.stopInstances();
  const found = await host.driver.list();
  expect(found.filter(({ running }) => running !== undefined)).toEqual([]);
});
