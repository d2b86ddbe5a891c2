/** The pooled port as its clients see it, with a real instance behind. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { promisify } from "node:util";
import { scramVerifier } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo } from "../wire/fake-client.ts";

const run = promisify(execFile);
const pgbench = existsSync("/usr/bin/pgbench");
const POOL_SIZE = 3;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let globex: ThrowawayTenant;
const clients: pg.Client[] = [];

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  globex = await platform.instance.addTenant("globex");
  platform.control.whole = platform.tableOf([acme, globex], { generation: 5n });
  gateway = await platform.startGateway({ poolSize: POOL_SIZE, poolWaitMs: 1_000 });
  await platform.followed(5n);
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  await platform.remove();
});

async function login(tenant = acme, over: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = await connectTo(gateway.pgPooledPort, tenant, over);
  clients.push(client);
  return client;
}

function uri({ tenantId, password, name }: ThrowawayTenant): string {
  return `postgres://${tenantId}:${password}@127.0.0.1:${gateway.pgPooledPort}/${name}`;
}

/** Which server works for a client now. */
async function pidOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  return rows[0]?.pid ?? 0;
}

test("many clients take turns with few servers, each transaction with one of them", async () => {
  const crowd = await Promise.all(Array.from({ length: 20 }, () => login()));
  const pids = new Set<number>();
  const work = crowd.map(async (client) => {
    for (let round = 0; round < 10; round += 1) {
      await client.query("begin");
      const [before, after] = [await pidOf(client), await pidOf(client)];
      await client.query("commit");
      expect(after).toBe(before);
      pids.add(before);
    }
  });
  await Promise.all(work);
  expect(pids.size).toBeLessThanOrEqual(POOL_SIZE);
  await Promise.all(crowd.map((client) => client.end()));
});

test("tenants share no server", async () => {
  const [one, other] = [await login(acme), await login(globex)];
  expect(await pidOf(one)).not.toBe(await pidOf(other));
  const { rows } = await other.query("select session_user as who");
  expect(rows).toEqual([{ who: globex.tenantId }]);
});

test("named statements work on whichever server comes, and clients may use one name", async () => {
  const crowd = await Promise.all(Array.from({ length: 8 }, () => login()));
  const work = crowd.map(async (client, at) => {
    for (let round = 0; round < 10; round += 1) {
      const text = `select $1::int * ${at + 2} as made`;
      const { rows } = await client.query({ name: "same", text, values: [round] });
      expect(rows).toEqual([{ made: round * (at + 2) }]);
      const shared = { name: "shared", text: "select $1::text as said", values: [`${at}`] };
      expect((await client.query(shared)).rows).toEqual([{ said: `${at}` }]);
    }
  });
  await Promise.all(work);
  await Promise.all(crowd.map((client) => client.end()));
});

test("a statement that fails to be prepared may be prepared again, and others go on", async () => {
  const client = await login();
  const wrong = { name: "late", text: "select * from missing_yet" };
  await expect(client.query(wrong)).rejects.toMatchObject({ code: "42P01" });
  await client.query("create table missing_yet (n int)");
  expect((await client.query(wrong)).rows).toEqual([]);
  await client.query("drop table missing_yet");
  expect((await client.query({ name: "fine", text: "select 1 as one" })).rows).toEqual([
    { one: 1 },
  ]);
});

test("postgres.js pipelines, prepares, copies and rolls back through it", async () => {
  const sql = postgres(uri(acme), { max: 5, onnotice: () => undefined });
  await sql`create table numbers (n int)`;
  const all = await Promise.all(Array.from({ length: 50 }, (_, n) => sql`select ${n}::int as n`));
  expect(all.map(([row]) => row?.["n"])).toEqual(Array.from({ length: 50 }, (_, n) => n));
  const copy = await sql`copy numbers from stdin`.writable();
  await new Promise<void>((resolve, reject) => {
    copy.on("error", reject).on("finish", () => resolve());
    copy.end(Array.from({ length: 10_000 }, (_, n) => `${n}\n`).join(""));
  });
  await expect(
    sql.begin(async (held) => {
      await held`delete from numbers`;
      throw new Error("back");
    }),
  ).rejects.toThrow("back");
  expect(await sql`select count(*)::int as count from numbers`).toEqual([{ count: 10_000 }]);
  await sql`drop table numbers`;
  await sql.end();
});

test("what a client leaves in a session is gone for the next", async () => {
  const client = await login();
  await client.query("set work_mem = '7MB'");
  await client.query("select set_config('app.left', 'behind', false)");
  await client.query("create temporary table passing (n int)");
  await client.query("select pg_advisory_lock(77)");
  await client.query("listen news");
  await client.query("prepare by_name as select 1");
  await client.end();
  const next = await login();
  for (let round = 0; round < 2 * POOL_SIZE; round += 1) {
    const { rows } = await next.query(
      `select current_setting('work_mem') as work_mem, current_setting('app.left', true) as left,
         to_regclass('pg_temp.passing') as passing, array(select pg_listening_channels()) as hears,
         (select count(*)::int from pg_locks where locktype = 'advisory') as locks,
         (select count(*)::int from pg_prepared_statements where from_sql) as prepared`,
    );
    expect(rows).toMatchObject([{ passing: null, hears: [], locks: 0, prepared: 0 }]);
    expect(rows[0]?.left ?? "").toBe("");
    expect(rows[0]?.work_mem).not.toBe("7MB");
  }
});

test("what a client asked for at its start goes with it, and no further", async () => {
  const mine = await login(acme, {
    application_name: "mine",
    options: "-c statement_timeout=4321",
  });
  const other = await login(acme, { application_name: "other" });
  const ask =
    "select current_setting('application_name') as name, " +
    "current_setting('statement_timeout') as ms";
  for (let round = 0; round < 5; round += 1) {
    const [one, two] = await Promise.all([mine.query(ask), other.query(ask)]);
    expect(one.rows).toEqual([{ name: "mine", ms: "4321ms" }]);
    expect(two.rows[0]?.name).toBe("other");
    expect(two.rows[0]?.ms).not.toBe("4321ms");
  }
  await mine.query("set timezone = 'Asia/Tokyo'");
  for (let round = 0; round < 5; round += 1) {
    const [one, two] = await Promise.all([
      mine.query("select current_setting('timezone') as zone"),
      other.query("select current_setting('timezone') as zone"),
    ]);
    expect(one.rows).toEqual([{ zone: "Asia/Tokyo" }]);
    expect(two.rows[0]?.zone).not.toBe("Asia/Tokyo");
  }
});

test("a setting that does not exist like that is refused at the door", async () => {
  await expect(login(acme, { options: "-c datestyle=never" })).rejects.toMatchObject({
    code: "22023",
  });
  await (await login()).end();
});

test("who finds every server taken waits, and is told when it takes too long", async () => {
  const holders = await Promise.all(Array.from({ length: POOL_SIZE }, () => login()));
  for (const holder of holders) await holder.query("begin");
  const late = await login();
  const waiting = late.query("select 1 as one");
  await sleep(200);
  await holders[0]?.query("commit");
  expect((await waiting).rows).toEqual([{ one: 1 }]);
  await holders[0]?.query("begin");
  await expect(late.query("select 1")).rejects.toMatchObject({
    code: "53300",
    message: expect.stringContaining("no server connection of the pool became free within 1 s"),
  });
  for (const holder of holders) await holder.end();
  await (await login()).end();
});

test("servers that nobody uses make way for sessions that their plan has no room for", async () => {
  const pied = await platform.instance.addTenant("piedpiper");
  const [route] = platform.tableOf([pied], { generation: 0n }).routes ?? [];
  platform.control.send({ generation: 6n, routes: [route ?? {}] });
  await platform.followed(6n);
  const root = await platform.instance.connectRoot();
  await root.query(`alter role ${pied.tenantId} connection limit ${POOL_SIZE}`);
  const pooled = await Promise.all(Array.from({ length: POOL_SIZE }, () => login(pied)));
  await Promise.all(pooled.map((client) => client.query("select pg_sleep(0.05)")));
  // All are free, and one is taken while the sessions come.
  await pooled[0]?.query("begin");
  const coming = Array.from({ length: POOL_SIZE }, () => connectTo(gateway.pgPort, pied));
  const came = await Promise.allSettled(coming);
  const inside = came.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const [refused] = came.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  expect(inside).toHaveLength(POOL_SIZE - 1);
  expect(refused).toMatchObject({ code: "53300" });
  expect((await pooled[0]?.query("select 1 as one"))?.rows).toEqual([{ one: 1 }]);
  await pooled[0]?.query("commit");
  await Promise.all([...inside, ...pooled, root].map((client) => client.end()));
});

test("a client that leaves in a transaction leaves nothing of it", async () => {
  const client = await login();
  await client.query("create table kept (n int)");
  await client.query("begin");
  await client.query("insert into kept values (1)");
  await client.end();
  const busy = await login();
  busy.query("insert into kept select 2 from pg_sleep(30)").catch(() => undefined);
  await sleep(200);
  // In the midst of a query a connection has to break: who has ended its side may want it done.
  (busy as unknown as { connection: { stream: Socket } }).connection.stream.resetAndDestroy();
  const next = await login();
  await expect
    .poll(async () => (await next.query("select count(*)::int from kept")).rows)
    .toEqual([{ count: 0 }]);
  const sleeping =
    "select pid from pg_stat_activity where query like '%pg_sleep(30)' and state = 'active'";
  await expect.poll(async () => (await next.query(sleeping)).rows).toEqual([]);
  await next.query("drop table kept");
});

test("clients whose password was replaced are told once they rest, and nobody waits", async () => {
  const initech = await platform.instance.addTenant("initech");
  const [route] = platform.tableOf([initech], { generation: 0n }).routes ?? [];
  platform.control.send({ generation: 7n, routes: [route ?? {}] });
  await platform.followed(7n);
  const [resting, never, busy] = [await login(initech), await login(initech), await login(initech)];
  await resting.query("select 1");
  await busy.query("begin");
  const told = [resting, never].map((client) => once(client, "error"));
  const toldLater = once(busy, "error");
  const verifiers = [await scramVerifier("another-password")];
  platform.control.send({ generation: 8n, routes: [{ ...route, verifiers }] });
  const expected = {
    code: "57P01",
    message: expect.stringContaining("password or place has changed"),
  };
  for (const error of told) expect(await error).toMatchObject([expected]);
  expect((await busy.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await busy.query("commit");
  expect(await toldLater).toMatchObject([expected]);
  await expect(login(initech)).rejects.toMatchObject({ code: "28P01" });
});

test("a cancel hits the client's own query, on whichever server that is", async () => {
  const [one, other] = [await login(), await login()];
  const running = one.query("select pg_sleep(30)");
  running.catch(() => undefined);
  const unharmed = other.query("select pg_sleep(0.5), 1 as one");
  await sleep(200);
  const { processID, secretKey } = one as unknown as Record<string, number>;
  const canceller = new pg.Client({ host: "127.0.0.1", port: gateway.pgPooledPort }) as unknown as {
    connection: {
      connect(port: number, host: string): void;
      cancel(...key: unknown[]): void;
      on(name: string, act: () => void): void;
    };
  };
  canceller.connection.connect(gateway.pgPooledPort, "127.0.0.1");
  canceller.connection.on("connect", () => canceller.connection.cancel(processID, secretKey));
  await expect(running).rejects.toMatchObject({ code: "57014" });
  expect((await unharmed).rows).toMatchObject([{ one: 1 }]);
  expect((await one.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
});

test.skipIf(!pgbench)(
  "pgbench works in each of its modes, and connects for each transaction",
  async () => {
    const bench = (...args: string[]) => run("pgbench", [...args, uri(acme)]);
    await bench("-i", "-q", "-s", "1");
    for (const mode of ["simple", "extended", "prepared"]) {
      // A thread each: pgbench waits for a statement to be prepared, and all of its thread with it.
      const { stdout } = await bench("-n", "-c", "8", "-j", "8", "-t", "25", "-M", mode);
      expect(stdout).toContain("number of failed transactions: 0");
    }
    const { stdout } = await bench("-n", "-S", "-C", "-c", "4", "-t", "10");
    expect(stdout).toContain("number of transactions actually processed: 40/40");
    const client = await login();
    await client.query(
      "drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
    );
  },
);

test("what a statement leaves is undone each time that it is used", async () => {
  const [one, other] = [
    await connectTo(gateway.pgPooledPort, acme),
    await connectTo(gateway.pgPooledPort, acme),
  ];
  const text = "select set_config('app.user_id', $1, false)";
  const named = { name: "who", text, values: ["alice"] };
  const seen = "select current_setting('app.user_id', true) as who";
  for (let round = 0; round < 3; round += 1) {
    await one.query(named);
    await one.query(text, ["bob"]);
    expect((await other.query(seen)).rows[0].who ?? "").toBe("");
  }
  const locked = { name: "lock", text: "select pg_advisory_lock_shared($1::int)", values: [7] };
  for (let round = 0; round < 2; round += 1) await one.query(locked);
  await one.query("create table pg_temp.kept as select 1 as one");
  const kept = "select count(*)::int as n from pg_locks where locktype = 'advisory'";
  expect((await other.query(kept)).rows).toEqual([{ n: 0 }]);
  await expect(other.query("select from pg_temp.kept")).rejects.toThrow();
  await Promise.all([one.end(), other.end()]);
});

test("servers that have ended are nobody's, and whoever had one is told and gone", async () => {
  const clients = [
    await connectTo(gateway.pgPooledPort, acme),
    await connectTo(gateway.pgPooledPort, acme),
  ];
  for (const client of clients) await client.query("begin");
  const [free, holds] = clients as [pg.Client, pg.Client];
  await free.query("commit");
  const gone = new Promise((resolve) => holds.once("end", resolve));
  const session = await connectTo(gateway.pgPort, acme);
  await session.query(`select pg_terminate_backend(pid) from pg_stat_activity
    where pid <> pg_backend_pid() and usename = current_user`);
  await gone;
  // Of the other one, which nobody holds, only the pool hears.
  await sleep(500);
  for (let round = 0; round < 4; round += 1) {
    expect((await free.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    const fresh = await connectTo(gateway.pgPooledPort, acme);
    expect((await fresh.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await fresh.end();
  }
  await Promise.all([free.end(), session.end()]);
});
