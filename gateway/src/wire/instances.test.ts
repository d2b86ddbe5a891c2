import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { HeldKeys } from "@aerodb/identity";
import { EndpointSchema } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { create } from "@bufbuild/protobuf";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Parking } from "../parking.ts";
import { RouteTable } from "../routes.ts";
import {
  ThrowawayPlatform,
  type ThrowawayTenant,
  throwawayDirectory,
} from "../throwaway-platform.ts";
import { Reach } from "../watch/reach.ts";
import { failedLogin } from "./fake-client.ts";
import { Instances } from "./instances.ts";

let platform: ThrowawayPlatform;
let acme: ThrowawayTenant;
let generation = 1n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
});

afterAll(() => platform.remove());

beforeEach(() => {
  platform.edge.wakes = 0;
  platform.edge.onWake = () => Promise.resolve();
});

afterEach(() => platform.stopGateway());

async function start(options: {
  readonly remote: boolean;
  readonly wakeDeadlineMs?: number;
  readonly poolWaitMs?: number;
}) {
  generation += 1n;
  const { remote, ...times } = options;
  platform.control.whole = platform.tableOf([acme], { generation, remote });
  await platform.startGateway(times);
  await platform.followed(generation);
}

async function login(which: "pgPort" | "pgPooledPort" = "pgPort"): Promise<pg.Client> {
  const { tenantId: user, name: database, password } = acme;
  const port = platform.gateway?.[which] ?? 0;
  const client = new pg.Client({ host: "127.0.0.1", port, user, database, password });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Ends the instance, without its agent knowing. */
async function stopInstance(): Promise<void> {
  await platform.instance.postmaster.stop("immediate");
}

test.each([false, true])(
  "many that find the instance down wake it once (remote: %s)",
  async (remote) => {
    await start({ remote });
    await stopInstance();
    platform.edge.onWake = () => platform.instance.restart();
    const clients = await Promise.all(Array.from({ length: 20 }, () => login()));
    expect(platform.edge.wakes).toBe(1);
    for (const client of clients) {
      expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
      await client.end();
    }
  },
);

test("who has no password wakes nothing", async () => {
  await start({ remote: false });
  await stopInstance();
  const port = platform.gateway?.pgPort ?? 0;
  const said = await failedLogin(port, { user: acme.tenantId, database: "acme" });
  expect(said.at(-1)).toContain("password authentication failed");
  expect(platform.edge.wakes).toBe(0);
  await platform.instance.restart();
});

test.each([
  ["pgPort", { wakeDeadlineMs: 300 }],
  ["pgPooledPort", { wakeDeadlineMs: 300 }],
  ["pgPooledPort", { poolWaitMs: 300 }],
] as const)(
  "%s: an instance that does not wake in time is a FATAL that says so",
  async (which, times) => {
    await start({ remote: false, ...times });
    await stopInstance();
    platform.edge.onWake = () => Promise.reject(new Error("no memory"));
    await expect(login(which)).rejects.toMatchObject({
      code: "57P03",
      message:
        "The tenant's server does not answer at the moment: try again in a moment. " +
        "The operator of the platform sees the reason in `aerodb tenants get`.",
    });
    await platform.instance.restart();
    await (await login()).end();
  },
);

test("who comes while the host is revoked is told so at once, until it has joined again", async () => {
  await start({ remote: false });
  generation += 1n;
  const revoked = platform.tableOf([acme], { generation, hostRevoked: true });
  platform.control.send({ ...revoked, whole: false });
  await platform.followed(generation);
  await refusedAsRevoked();
  // As kept on disk.
  await platform.stopGateway();
  const { port } = platform.control;
  platform.control.port = 1;
  await platform.startGateway();
  await refusedAsRevoked();
  await platform.stopGateway();
  platform.control.port = port;
  await start({ remote: false });
  await (await login()).end();
  expect(platform.edge.wakes).toBe(0);
});

/** Who waits until the time for waking is over is told something else. */
async function refusedAsRevoked(): Promise<void> {
  for (const which of ["pgPort", "pgPooledPort"] as const) {
    const message = expect.stringMatching(/^The host of the tenant's server was revoked/);
    await expect(login(which)).rejects.toMatchObject({ code: "57P03", message });
  }
}

test("a server that takes connections and says nothing is told of as one that does not answer", async () => {
  const directory = await throwawayDirectory();
  const routes = new RouteTable(`${directory}/routes.db`);
  const silent = createServer().listen(`${directory}/.s.PGSQL.5432`);
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const endpoint = create(EndpointSchema, {
    ...{ instanceId: "ins_1", bootId, socketDirectory: directory },
  });
  routes.take({ generation: 1n, whole: true, routes: [], endpoints: [endpoint] });
  const reach = new Reach();
  const keys = new HeldKeys(platform.identity);
  const settings = { keys, routes, parking: new Parking(routes), reach, logger: platform.logger };
  const instances = new Instances({ ...settings, wakeDeadlineMs: 100 });
  const knock = { startupFor: () => Buffer.from("hello"), waits: () => undefined };
  const opening = instances.open("ins_1", knock, new AbortController().signal);
  await expect(opening).rejects.toThrow("does not answer");
  expect(reach.take().unanswered).toEqual(new Map([["ins_1", "no_answer"]]));
  instances.close();
  routes.close();
  silent.close();
  await rm(directory, { recursive: true });
});

test("the agent of a server that says nothing is told, and who waits goes on waiting", async () => {
  await start({ remote: false });
  const { pid } = platform.instance.postmaster;
  process.kill(pid, "SIGSTOP");
  platform.edge.onWake = () => Promise.resolve(void process.kill(pid, "SIGCONT"));
  const client = await login();
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  expect(platform.edge.wakes).toBe(1);
  await client.end();
});

test("large writes and results pass through an agent", async () => {
  await start({ remote: true });
  const client = await login();
  const text = "x".repeat(5_000_000);
  const { rows } = await client.query("select length($1) as length", [text]);
  expect(rows).toEqual([{ length: text.length }]);
  const many = await client.query("select repeat('x', 1000) from generate_series(1, 20000)");
  expect(many.rows).toHaveLength(20_000);
  await client.end();
});

test.each([false, true])(
  "a server killed at rest is a FATAL at the client, and a new login works (remote: %s)",
  async (remote) => {
    await start({ remote });
    const client = await login();
    await client.query("select 1");
    const lost = new Promise((resolve) => client.once("error", resolve));
    const { postmaster } = platform.instance;
    process.kill(postmaster.pid, "SIGKILL");
    await postmaster.exited;
    expect(await lost).toMatchObject({ code: "57P01" });
    platform.edge.onWake = () => platform.instance.restart();
    await (await login()).end();
  },
);

test("a server killed in the middle of a query closes the session", async () => {
  await start({ remote: false });
  const client = await login();
  const cut = expect(client.query("select pg_sleep(30)")).rejects.toThrow();
  await stopInstance();
  await cut;
  await platform.instance.restart();
});

test("a client that is killed in the middle of a query leaves no connection behind", async () => {
  await start({ remote: false });
  const client = await login();
  const { connection } = client as unknown as {
    connection: { stream: import("node:net").Socket };
  };
  client.query("select pg_sleep(30)").catch(() => undefined);
  const watcher = await login();
  const running = "select count(*)::int from pg_stat_activity where query = 'select pg_sleep(30)'";
  await expect.poll(async () => (await watcher.query(running)).rows).toEqual([{ count: 1 }]);
  connection.stream.resetAndDestroy();
  // The server notices when it next writes; the gateway's own side is closed at once.
  await watcher.query(
    "select pg_cancel_backend(pid) from pg_stat_activity where query = 'select pg_sleep(30)'",
  );
  await expect.poll(async () => (await watcher.query(running)).rows).toEqual([{ count: 0 }]);
  await watcher.end();
});

test("stopping the gateway tells sessions at rest why and cuts the others off", async () => {
  await start({ remote: false });
  const atRest = await login();
  const told = new Promise((resolve) => atRest.once("error", resolve));
  const busy = await login();
  const running = busy.query("select pg_sleep(30)");
  const cut = expect(running).rejects.toThrow();
  await platform.stopGateway();
  expect(await told).toMatchObject({
    code: "57P01",
    message: "terminating connection: the gateway is shutting down",
  });
  await cut;
});

test("a gateway that starts without control serves every tenant it knew", async () => {
  await start({ remote: false });
  await platform.stopGateway();
  const { port } = platform.control;
  platform.control.port = 1;
  await platform.startGateway();
  await (await login()).end();
  await platform.stopGateway();
  platform.control.port = port;
  await rm(`${platform.directory}/gateway/routes.db`);
});
