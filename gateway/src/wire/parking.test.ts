/**
 * An instance that is parked is left and come back to: what a session keeps is there again, what
 * cannot be given to another ends it with a reason, and who comes meanwhile waits.
 */

import { once } from "node:events";
import { type BackendKey, MessageReader } from "@aerodb/postgres";
import { RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { cancelAt, connectTo, keyOf, loggedIn } from "./fake-client.ts";
import { encodeQuery } from "./messages.ts";
import { nextMessage } from "./peer.ts";
import { setParked as tellParked } from "./throwaway-parking.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let generation = 5n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation });
  gateway = await platform.startGateway();
  await platform.followed(generation);
});
afterAll(() => platform.remove());

function setParked(parked: boolean): Promise<void> {
  generation += 1n;
  return tellParked(platform, acme, { generation, parked });
}

async function setState(state: RouteState): Promise<void> {
  generation += 1n;
  const { routes = [] } = platform.tableOf([acme], { generation, state });
  platform.control.send({ generation, routes });
  await platform.followed(generation);
}

/** Resolves once no session of the tenant is left on the server. */
async function left(): Promise<void> {
  const root = await platform.instance.connectRoot();
  const count = "select count(*)::int as n from pg_stat_activity where usename = $1";
  const inside = async () => (await root.query(count, [acme.tenantId])).rows[0].n;
  await expect.poll(inside, { timeout: 10_000 }).toBe(0);
  await root.end();
}

/** As a host restarts it, once everybody has left. */
async function restartServer(): Promise<void> {
  await left();
  await platform.instance.postmaster.stop("fast");
  await platform.instance.restart();
}

async function restart(): Promise<void> {
  await setParked(true);
  await restartServer();
  await setParked(false);
}

const pidOf = async (client: pg.Client) =>
  (await client.query("select pg_backend_pid() as pid")).rows[0].pid as number;

test("a session goes on after a restart with what it had", async () => {
  const client = await connectTo(gateway.pgPort, acme, { application_name: "ledger" });
  const heard: string[] = [];
  client.on("notification", ({ channel, payload }) => heard.push(`${channel}:${payload}`));
  const named = { name: "plus", text: "select $1::int + 1 as n, current_setting('work_mem') as m" };
  await client.query({ ...named, values: [1] });
  await client.query(`set work_mem = '5MB'; set application_name = 'o''ledger "quoted"'`);
  await client.query("prepare again (int) as select $1 * 2 as n");
  await client.query('listen "News of $1"');
  const before = await pidOf(client);
  await restart();
  expect((await client.query({ ...named, values: [2] })).rows).toEqual([{ n: 3, m: "5MB" }]);
  expect((await client.query("execute again (21)")).rows).toEqual([{ n: 42 }]);
  expect((await client.query("show application_name")).rows[0]).toEqual({
    application_name: `o'ledger "quoted"`,
  });
  await client.query(`notify "News of $1", 'back'`);
  expect(heard).toEqual(["News of $1:back"]);
  expect(await pidOf(client)).not.toBe(before);
  await client.end();
});

test("a session whose password was replaced since it began is told of that", async () => {
  const hooli = await platform.instance.addTenant("hooli");
  const client = await connectTo(gateway.pgPort, acme);
  const root = await platform.instance.connectRoot();
  const setVerifier = (verifier: string) =>
    root.query(`alter role "${acme.tenantId}" password '${verifier}'`);
  const told = once(client, "error");
  await setParked(true);
  await left();
  await setVerifier(hooli.verifier);
  await setParked(false);
  expect(await told).toMatchObject([
    { code: "57P01", message: expect.stringContaining("password has been replaced") },
  ]);
  await setVerifier(acme.verifier);
  await root.end();
});

test("a query that is sent while it is away is answered once it is back", async () => {
  const [direct, pooled] = await Promise.all([
    connectTo(gateway.pgPort, acme),
    connectTo(gateway.pgPooledPort, acme),
  ]);
  await Promise.all([direct, pooled].map((client) => client.query("select 1")));
  await setParked(true);
  await left();
  const comes = connectTo(gateway.pgPort, acme);
  const answers = [direct, pooled].map((client) => client.query("select 1 as one"));
  const early = await Promise.race([...answers, comes, sleep(300).then(() => "nobody")]);
  expect(early).toBe("nobody");
  await restartServer();
  await setParked(false);
  for (const answer of answers) expect((await answer).rows).toEqual([{ one: 1 }]);
  const came = await comes;
  await Promise.all([direct, pooled, came].map((client) => client.end()));
});

test("what was asked while it is away, and cancelled, is cancelled when it is back", async () => {
  const clients = [
    await connectTo(gateway.pgPort, acme),
    await connectTo(gateway.pgPort, acme, { ssl: { rejectUnauthorized: false } }),
  ];
  await setParked(true);
  await left();
  const answers = clients.map((client) => client.query("select pg_sleep(30)"));
  const cancelled = answers.map((answer) =>
    expect(answer).rejects.toMatchObject({ code: "57014" }),
  );
  await sleep(100);
  for (const client of clients) await cancelAt(gateway.pgPort, keyOf(client));
  await setParked(false);
  await Promise.all(cancelled);
  for (const client of clients) {
    expect((await client.query("select pg_sleep(0.2), 1 as one")).rows).toMatchObject([{ one: 1 }]);
    await client.end();
  }
});

test("a cancel of nothing while it is away cancels nothing that is asked later", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  await setParked(true);
  await left();
  await cancelAt(gateway.pgPort, keyOf(client));
  const answer = client.query("select pg_sleep(0.3), 1 as one");
  await sleep(100);
  await setParked(false);
  expect((await answer).rows).toMatchObject([{ one: 1 }]);
  await client.end();
});

test("what is asked after a cancel waits until that has come to the server", async () => {
  let key: BackendKey | undefined;
  const client = await loggedIn(gateway.pgPort, acme, ({ type, payload }) => {
    if (type === "K") key = { processId: payload.readInt32BE(0), secret: payload.subarray(4) };
  });
  const peer = { stream: client, reader: new MessageReader() };
  await setParked(true);
  await left();
  client.write(encodeQuery("select 1"));
  await sleep(100);
  if (key !== undefined) await cancelAt(gateway.pgPort, key);
  client.write(encodeQuery("select pg_sleep(0.3)"));
  await sleep(100);
  await setParked(false);
  const said: string[] = [];
  while (said.filter((type) => type === "Z").length < 2) {
    const { type = "lost" } = (await nextMessage(peer, AbortSignal.timeout(10_000))) ?? {};
    said.push(type);
  }
  expect(said.slice(-4).join("")).toBe("TDCZ");
  client.destroy();
});

test("a transaction is let end first", async () => {
  const clients = await Promise.all(
    [gateway.pgPort, gateway.pgPooledPort].map((port) => connectTo(port, acme)),
  );
  for (const client of clients) await client.query("begin; select 1");
  const pids = await Promise.all(clients.map(pidOf));
  await setParked(true);
  await sleep(100);
  expect(await Promise.all(clients.map(pidOf))).toEqual(pids);
  for (const client of clients) await client.query("commit");
  await left();
  await setParked(false);
  for (const client of clients) expect(pids).not.toContain(await pidOf(client));
  await Promise.all(clients.map((client) => client.end()));
});

test("one that was never ended stays where it is when the moment is over", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  await client.query("begin");
  const before = await pidOf(client);
  await setParked(true);
  await setParked(false);
  await client.query("commit");
  expect(await pidOf(client)).toBe(before);
  await client.end();
});

test.each([
  ["temporary objects", "create temporary table t (n int)"],
  ["an open cursor", "declare c cursor with hold for select 1"],
  ["advisory locks", "select pg_advisory_lock(7)"],
  ["settings of its own names", "set my.thing = 'x'"],
  ["settings of its own names", "select set_config('my.thing', 'x', false)"],
  ["settings of its own names", "set u&\"\\006dy\".thing = 'x'"],
  ["statements prepared among others", "prepare a as select 1; prepare b as select 2"],
])("a session that has %s is ended with the reason: %s", async (what, statement) => {
  const client = await connectTo(gateway.pgPort, acme);
  await client.query(statement);
  const failed = new Promise<pg.DatabaseError>((resolve) => client.on("error", resolve as never));
  await setParked(true);
  const error = await failed;
  expect(error.code).toBe("57P01");
  expect(error.message).toContain(`the session has ${what}`);
  await left();
  await setParked(false);
});

test.each([
  "select set_config('work_mem', '3MB', false)",
  "select set_config('my.thing', 'x', true)",
  "select 1 as set_config",
])("a session that keeps nothing unseen goes on: %s", async (statement) => {
  const client = await connectTo(gateway.pgPort, acme);
  await client.query(statement);
  const before = await pidOf(client);
  await setParked(true);
  await left();
  await setParked(false);
  expect(await pidOf(client)).not.toBe(before);
  await client.end();
});

test("a session whose statements have little time goes on, and they have no more", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  await client.query("listen news");
  const before = await pidOf(client);
  await client.query("set statement_timeout = 2");
  await setParked(true);
  await left();
  await setParked(false);
  await expect(client.query("select pg_sleep(1)")).rejects.toMatchObject({ code: "57014" });
  await client.query("set statement_timeout = 0");
  expect(await pidOf(client)).not.toBe(before);
  const { rows } = await client.query("select pg_listening_channels() as hears");
  expect(rows).toEqual([{ hears: "news" }]);
  await client.end();
});

test("time for statements that a session has not chosen is what is usual when it is back", async () => {
  const root = await platform.instance.connectRoot();
  const [usual, own] = [
    await connectTo(gateway.pgPort, acme),
    await connectTo(gateway.pgPort, acme),
  ];
  await own.query("set statement_timeout = '3s'");
  const timesOf = () =>
    Promise.all(
      [usual, own].map(async (each) => (await each.query("show statement_timeout")).rows[0]),
    );
  for (const time of ["7s", "1d", "0"]) {
    await setParked(true);
    await left();
    await root.query(`alter role ${acme.tenantId} set statement_timeout = '${time}'`);
    await setParked(false);
    const times = [time, "3s"].map((statement_timeout) => ({ statement_timeout }));
    expect(await timesOf()).toEqual(times);
  }
  await root.query(`alter role ${acme.tenantId} reset statement_timeout`);
  await Promise.all([root, usual, own].map((client) => client.end()));
});

test("a statement that can be prepared no longer costs no session", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  await client.query("create table passing (i int)");
  await client.query({ name: "reads", text: "select i from passing" });
  await client.query("drop table passing");
  await setParked(true);
  await left();
  await setParked(false);
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await client.end();
});

test("one that has prepared more than is kept is ended at once, and holds nobody up", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  const failed = new Promise<pg.DatabaseError>((resolve) => client.on("error", resolve as never));
  await client.query({ name: "long", text: `select length('${"x".repeat(2 << 20)}')` });
  await setParked(true);
  expect((await failed).code).toBe("57P01");
  await left();
  await setParked(false);
});

test("a client that leaves while it is away takes no server when it is back", async () => {
  const leaves = await loggedIn(gateway.pgPort, acme);
  const stays = await connectTo(gateway.pgPort, acme);
  await setParked(true);
  await left();
  leaves.resetAndDestroy();
  await setParked(false);
  await stays.query("select 1");
  const sessions = "select count(*)::int as n from pg_stat_activity where usename = current_user";
  const inside = async () => (await stays.query(sessions)).rows[0].n;
  await expect.poll(inside, { timeout: 10_000 }).toBe(1);
  await stays.end();
});

test("a tenant that is refused while it is away is told so", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  const failed = new Promise<pg.DatabaseError>((resolve) => client.on("error", resolve as never));
  await setParked(true);
  await left();
  await setState(RouteState.SUSPENDED);
  expect((await failed).message).toContain("is suspended");
  await setState(RouteState.ACTIVE);
  await setParked(false);
});

test("time and again in the midst of writing, no commit is lost or made twice", async () => {
  const rounds = Number(process.env["PARK_ROUNDS"] ?? 20);
  const setup = await connectTo(gateway.pgPort, acme);
  await setup.query("create table ledger (writer int, n int)");
  await setup.end();
  let over = false;
  const ports = [gateway.pgPort, gateway.pgPooledPort, gateway.pgPort, gateway.pgPooledPort];
  const written = ports.map(() => 0);
  const write = async (writer: number, port: number): Promise<void> => {
    const client = await connectTo(port, acme);
    for (let n = 1; !over; n += 1) {
      if (n % 3 === 0) {
        await client.query("begin");
        await client.query("insert into ledger values ($1, $2)", [writer, n]);
        await client.query("commit");
      } else {
        const text = "insert into ledger values ($1, $2)";
        await client.query({ name: "insert", text, values: [writer, n] });
      }
      written[writer] = n;
    }
    await client.end();
  };
  const writers = ports.map((port, writer) => write(writer, port));
  for (let round = 0; round < rounds; round += 1) {
    await restart();
    const before = [...written];
    await expect.poll(() => written.every((n, writer) => n > (before[writer] ?? 0))).toBe(true);
  }
  over = true;
  await Promise.all(writers);
  const reader = await connectTo(gateway.pgPort, acme);
  const { rows } = await reader.query(
    "select writer, count(*)::int as all, count(distinct n)::int as different, max(n) as last " +
      "from ledger group by writer order by writer",
  );
  expect(rows).toEqual(written.map((n, writer) => ({ writer, all: n, different: n, last: n })));
  await reader.end();
}, 120_000);
