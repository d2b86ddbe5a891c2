/** A tenant of a shared instance that takes all locks there are: a real server, real sessions. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connectPlatform,
  connectTenant,
  generatePassword,
  quoteIdentifier,
  ROOT_ROLE,
  scramVerifier,
} from "@aerodb/postgres";
import { newSecret, silent, sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { DesiredTenant } from "./desired.ts";
import { ProcessDriver } from "./drivers/process/process-driver.ts";
import { Host } from "./host.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import { EngineShelf } from "./storage/engine-shelf.ts";
import { TenantsInInstances } from "./tenants-in-instance.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const password = generatePassword();
const rootPassword = newSecret();
const instance = sampleInstance({ shared: true, maxConnections: 20, memoryMiB: 128 });
const life = new AbortController();
let directory: string;
let host: Host;
let greedy: DesiredTenant;
let neighbour: DesiredTenant;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "agent-locks-"));
  await chmod(directory, 0o711);
  const shelf = new EngineShelf({
    directory: join(directory, "engines"),
    search: {},
    rootPassword,
  });
  const home = await mkdtemp(join(directory, "home-"));
  await chmod(home, 0o711);
  const uids = { base: 67_100_000, count: 100 };
  host = new Host({
    home,
    driver: new ProcessDriver({ home, shelf, uids, logger: silent }),
    tenants: () =>
      new TenantsInInstances({
        password: rootPassword,
        keep: () => 1,
        isShared: () => true,
        logger: silent,
      }),
    logger: silent,
    signal: life.signal,
  });
  await host.start();
  const verifier = await scramVerifier(password);
  greedy = sampleTenant(instance.spec.id, { verifier });
  neighbour = sampleTenant(instance.spec.id, { verifier });
  const desired = { instances: [instance], tenants: [greedy, neighbour] };
  for (const subject of host.state.desire(desired)) host.reconciler.look(subject, { now: true });
  await host.reconciler.idle();
});
afterAll(async () => {
  life.abort();
  await host.stopInstances();
  host.close();
  await rm(directory, { recursive: true, force: true });
});

async function connect({ tenantId }: DesiredTenant): Promise<pg.Client> {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const { socketDirectory } = running;
  const client = await connectTenant({ socketDirectory, tenantId, password });
  client.on("error", () => undefined);
  await client.query(`set search_path = ${quoteIdentifier(tenantId)}`);
  return client;
}

test("who takes all locks loses its sessions, and nobody else does", async () => {
  const theirs = await connect(neighbour);
  await theirs.query("create table t as select 1 as one");
  const other = await connect(greedy);
  const client = await connect(greedy);
  await other.query("select pg_advisory_lock(0)");
  const taking = client.query("select pg_advisory_lock(n) from generate_series(1, 1000000) n");
  // All that fit, unless the agent came before that.
  await expect(taking).rejects.toThrow(/out of shared memory|terminat/);
  await host.locks.look();
  for (const session of [client, other]) {
    await expect.poll(() => session.query("select 1").catch(() => "ended")).toBe("ended");
  }
  // A session says that it ends before it gives its locks back.
  const make = () => theirs.query("create table u as table t").then(() => "made", String);
  await expect.poll(make).toBe("made");
  await (await connect(neighbour)).end();
  await (await connect(greedy)).end();
  expect((await theirs.query("select one from u")).rows).toEqual([{ one: 1 }]);
  await theirs.end();
});

test("those who only together hold too much lose their sessions, the largest first", async () => {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const { capacity } = await host.tenants.heldLocks(running);
  const [much, more] = [Math.floor(capacity * 0.3), Math.floor(capacity * 0.35)];
  const [one, other] = [await connect(neighbour), await connect(greedy)];
  const take = "select count(pg_advisory_lock($1, n)) from generate_series(1, $2::int) n";
  await one.query(take, [1, much]);
  await other.query(take, [2, more]);
  await host.locks.look();
  await expect.poll(() => other.query("select 1").catch(() => "ended")).toBe("ended");
  expect((await one.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await one.end();
});

test("a session that will not end is killed, and everybody is served again", async () => {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const { capacity } = await host.tenants.heldLocks(running);
  const columns = Array.from({ length: 1_600 }, () => "md5(s)").join(", ");
  const rows = `select ${columns} from (select repeat('x', 20000000) s offset 0) q offset 0`;
  const take = `select count(pg_advisory_lock(n)) from generate_series(1, ${capacity}) n`;
  const burn = async () => {
    const client = await connect(greedy);
    await client.query(`prepare burn as select count(*) from (${rows}) z where z is not null`);
    // Planned now: that takes its time, and can be interrupted.
    await client.query("set plan_cache_mode = force_generic_plan; explain execute burn");
    const ended = client.query(`${take}; execute burn`).then(() => "served", String);
    const over = Promise.race([ended, sleep(40_000)]);
    let looking = true;
    void over.then(() => {
      looking = false;
    });
    for (; looking; await sleep(500)) await host.locks.look();
    return over;
  };
  let over = await burn();
  // Told to end before it has begun what it does not end in, it ends.
  for (let tries = 1; tries < 5 && `${over}`.includes("terminating connection"); tries += 1) {
    over = await burn();
  }
  expect(over).toContain("Connection terminated unexpectedly");
  const serves = () => connect(neighbour).then((each) => each.end().then(() => "serves"), String);
  await expect.poll(serves, { timeout: 20_000 }).toBe("serves");
}, 90_000);

test("who reads much in a serializable transaction keeps nobody from one", async () => {
  const client = await connect(greedy);
  const tables = Array.from({ length: 40 }, (_, at) => {
    const rows = "select n as id, repeat('x', 1000) as f from generate_series(1, 200) n";
    return `create table p${at} as ${rows}; create unique index on p${at} (id)`;
  });
  await client.query(tables.join("; "));
  await client.query("set enable_seqscan = off; set enable_bitmapscan = off");
  await client.query("begin isolation level serializable");
  for (let at = 0; at < 40; at += 1) {
    for (let id = 1; id <= 200; id += 8) await client.query(`select from p${at} where id = ${id}`);
  }
  await host.locks.look();
  await expect.poll(() => client.query("select 1").catch(() => "ended")).toBe("ended");
}, 60_000);

test.each([
  ["a table", "'mine'::regclass::oid", "alter table mine add column j int"],
  [
    "what is stored beside it",
    "(select reltoastrelid from pg_class where oid = 'mine'::regclass)",
    "truncate mine",
  ],
])("who locks what is another's, and has it wait, loses its session: %s", async (...what) => {
  const [, locked, statement] = what;
  const [owner, waiting] = [await connect(neighbour), await connect(neighbour)];
  await owner.query("create table mine (i int, x text)");
  const { rows } = await owner.query(`select ${locked} as id`);
  const intruder = await connect(greedy);
  const lock = `do $$ begin perform nextval(${rows[0].id}::regclass);
    exception when others then null; end $$`;
  // Who waits for what its owner locks does no harm, and its owner is not to be ended for it.
  await owner.query("begin; lock table mine");
  const waits = intruder.query(`begin; ${lock}`).then(() => "locked", String);
  await sleep(1_300);
  await host.locks.look();
  await owner.query("commit");
  expect(await waits).toBe("locked");
  const change = waiting.query(statement).then(() => "made", String);
  await sleep(1_300);
  await host.locks.look();
  expect(await change).toBe("made");
  await expect.poll(() => intruder.query("select 1").catch(() => "ended")).toBe("ended");
  await owner.query("drop table mine");
  await Promise.all([owner.end(), waiting.end()]);
});

test("a session that cannot end for a lock on its temporary table ends", async () => {
  const [owner, watching] = [await connect(neighbour), await connect(neighbour)];
  await owner.query("create temporary table passing (i int)");
  const { rows } = await owner.query(
    "select 'passing'::regclass::oid as id, pg_backend_pid() as pid",
  );
  const intruder = await connect(greedy);
  await intruder.query(`begin; do $$ begin perform nextval(${rows[0].id}::regclass);
    exception when others then null; end $$`);
  await owner.end();
  await sleep(1_300);
  await host.locks.look();
  await expect.poll(() => intruder.query("select 1").catch(() => "ended")).toBe("ended");
  const text = "select from pg_stat_activity where pid = $1";
  await expect.poll(async () => (await watching.query(text, [rows[0].pid])).rowCount).toBe(0);
  await watching.end();
});

test("who takes many, and not most of them, keeps them", async () => {
  const client = await connect(greedy);
  await client.query("select pg_advisory_lock(n) from generate_series(1, 1000) n");
  await host.locks.look();
  // Only who holds a lock can give it back.
  const { rows } = await client.query("select pg_advisory_unlock(1000) as held");
  expect(rows).toEqual([{ held: true }]);
  await client.end();
});

test("who holds up the platform by a lock loses its session, and no victim of it does", async () => {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const holding = await connect(greedy);
  const waiting = await connect(greedy);
  await holding.query("create table held (i int)");
  await holding.query("begin; lock table held in access exclusive mode");
  const victim = waiting.query("select from held").then(() => "served", String);
  const platform = await connectPlatform({ ...running, password: rootPassword });
  const table = `${quoteIdentifier(greedy.tenantId)}.held`;
  const change = platform.query(`truncate ${table}`).then(() => "made", String);
  const blockers = async () => (await host.tenants.heldLocks(running)).blockers;
  await expect.poll(blockers, { timeout: 4_000 }).toHaveLength(1);
  await host.locks.look();
  expect(await change).toBe("made");
  await expect(holding.query("select 1")).rejects.toThrow();
  expect(await victim).toBe("served");
  await Promise.all([waiting.end(), platform.end()]);
});

test("tenants come, go and get shared tables while somebody holds one of those locked", async () => {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const sql = "create table notes (tenant_id text, id int, primary key (tenant_id, id))";
  const first = { number: 1, name: "notes", sql };
  await host.tenants.changeTables(running, [first]);
  const leaving = sampleTenant(instance.spec.id, { verifier: await scramVerifier(password) });
  await host.tenants.ensure(running, { ...leaving, dedicated: false });
  const theirs = await connect(leaving);
  await theirs.query("set row_security = on");
  await theirs.query("insert into shared.notes (id) values (1)");
  await theirs.end();

  const hold = async () => {
    const holding = await connect(greedy);
    await holding.query("begin; lock table shared.notes in access exclusive mode");
  };
  await hold();
  const coming = sampleTenant(instance.spec.id, { verifier: leaving.verifier });
  await host.tenants.ensure(running, { ...coming, dedicated: false });
  const [proof] = await host.tenants.prove(running, [coming]);
  expect(proof?.unproven).toBeUndefined();
  await host.tenants.drop(running, leaving.tenantId);
  await hold();
  const second = { number: 2, name: "titles", sql: "alter table notes add title text" };
  expect(await host.tenants.changeTables(running, [first, second])).toBe(2);
});

test(`sessions of ${ROOT_ROLE} are nobody's to end`, async () => {
  const running = host.state.seen(instance.spec.id)?.running;
  if (running === undefined) throw new Error("the instance does not run");
  const { backends, capacity } = await host.tenants.heldLocks(running);
  expect(backends).toEqual([]);
  expect(capacity).toBeGreaterThan(1_000);
});
