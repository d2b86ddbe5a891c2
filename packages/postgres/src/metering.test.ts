import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectMeter, connectPlatform, connectTenant } from "./connection.ts";
import { ensureMeterRole, meterPassword, meterVerifier } from "./meter-login.ts";
import { askActivity, withMeter } from "./metering.ts";
import { askSizes } from "./metering-sizes.ts";
import { askStatements } from "./metering-statements.ts";
import type { Postmaster } from "./postmaster.ts";
import { startPostmaster } from "./postmaster-start.ts";
import { generatePassword, scramVerifier } from "./scram.ts";
import { ensureTenant } from "./tenant-role.ts";
import {
  ROOT_PASSWORD,
  type ThrowawayHome,
  throwawayHome,
  throwawayInstance,
} from "./throwaway-instance.ts";

let home: ThrowawayHome;
let postmaster: Postmaster;
let socketDirectory: string;
let platform: Client;
let meter: Client;
let lastTenant = 0;

beforeAll(async () => {
  home = await throwawayHome();
  const settings = await throwawayInstance(home, "i", { kind: "shared" });
  const preload = "shared_preload_libraries = 'pg_stat_statements'\n";
  await appendFile(join(settings.dataDirectory, "postgresql.conf"), preload);
  postmaster = await startPostmaster(settings);
  ({ socketDirectory } = settings);
  platform = await connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
  meter = await connectMeter({ socketDirectory, password: meterPassword(ROOT_PASSWORD) });
});

afterAll(async () => {
  await Promise.all([platform.end(), meter.end()]);
  await postmaster.stop("immediate");
  await home.remove();
});

async function newTenant(dedicated = false) {
  lastTenant += 1;
  const tenantId = `ten_${lastTenant.toString().padStart(26, "0")}` as TenantId;
  const password = generatePassword();
  const verifier = await scramVerifier(password);
  await ensureTenant(platform, { tenantId, verifier, connectionLimit: 5, dedicated });
  const connect = () => connectTenant({ socketDirectory, password, tenantId });
  return { tenantId, connect };
}

async function sizeOf(tenantId: TenantId): Promise<number> {
  return (await askSizes(meter)).tenants.get(tenantId)?.storage_bytes ?? 0;
}

test("what is stored is what its files take, unlogged and temporary tables included", async () => {
  const { tenantId, connect } = await newTenant();
  const client = await connect();
  const rows = "select i as n, repeat(md5(i::text), 200) as x from generate_series(1, 2000) i";
  const tables = [
    ["table", `${tenantId}.kept`],
    ["unlogged table", `${tenantId}.passing`],
    ["temporary table", "pg_temp.scratch"],
  ] as const;
  for (const [kind, name] of tables) {
    const before = await sizeOf(tenantId);
    await client.query(`create ${kind} ${name} as ${rows}`);
    const total = `select pg_total_relation_size('${name}')::int as bytes`;
    const bytes = Number((await client.query(total)).rows[0].bytes);
    const added = (await sizeOf(tenantId)) - before;
    expect([kind, (added - bytes) / bytes]).toEqual([kind, expect.closeTo(0, 2)]);
  }
  const [kept, passing, scratch] = tables.map(([, name]) => name);
  await client.query(`drop table ${kept}; truncate ${passing}; drop table ${scratch}`);
  expect(await sizeOf(tenantId)).toBeLessThan(100_000);
  await client.end();
});

/** Too random to be compressed. */
const LONG = Array.from({ length: 800 }, () => generatePassword()).join("");
const MANY = Array.from({ length: 800 }, () => `"${generatePassword()}"`).join(", ");

test.for<[what: string, statement: string]>([
  ["a body", `create function f() returns int language plpgsql as '/* ${LONG} */ begin end'`],
  ["a body that is parsed", `create function f() returns text return '${LONG}'`],
  [
    "a default",
    `create function f(x text default '${LONG}') returns int language sql as 'select 1'`,
  ],
  ["a comment on a table", `comment on table t is '${LONG}'`],
  ["a comment on a column", `comment on column t.n is '${LONG}'`],
  ["a comment on a constraint", `comment on constraint c on t is '${LONG}'`],
  ["a comment on a type", `create type e as enum (); comment on type e is '${LONG}'`],
  [
    "a comment on a large object",
    `select lo_create(777); comment on large object 777 is '${LONG}'`,
  ],
  ["a view", `create view v as select '${LONG}' as x`],
  ["a check", `alter table t add check (n::text <> '${LONG}')`],
  ["an index", `create index on t ((n::text = '${LONG}'))`],
  ["a setting", `alter role current_user set search_path = ${MANY}`],
])("%s is stored too", async ([what, statement], { skip }) => {
  if (what === "an index") skip(home.engine.major < 18, "a row of pg_index fits a page there");
  const { tenantId, connect } = await newTenant();
  const client = await connect();
  await client.query(`set search_path to ${tenantId}`);
  await client.query("create table t (n int, constraint c check (n > 0))");
  const before = await sizeOf(tenantId);
  await client.query(statement);
  expect(await sizeOf(tenantId)).toBeGreaterThan(before + 20_000);
  await client.end();
});

test("numbers move with work", async () => {
  const { tenantId, connect } = await newTenant();
  const client = await connect();
  const before = await askActivity(meter, home.engine.major);
  await client.query("begin");
  // Dead rows are to be counted, and not to be cleared away meanwhile.
  await client.query(`create table ${tenantId}.t (n int, x text) with (autovacuum_enabled = off)`);
  await client.query(`insert into ${tenantId}.t select i, repeat('x', 500)
    from generate_series(1, 5000) i`);
  expect((await askActivity(meter, home.engine.major)).tenants.get(tenantId)).toMatchObject({
    connections: 1,
    idle_in_transaction_connections: 1,
    oldest_transaction_seconds: expect.any(Number),
  });
  await client.query("commit");
  await client.query("set work_mem = '64kB'");
  await client.query(`select count(*) from (select x from ${tenantId}.t order by x, n) sorted`);
  await client.query(`delete from ${tenantId}.t where n <= 1000`);
  await client.query("select pg_catalog.pg_stat_force_next_flush()");
  await platform.query("checkpoint");

  // A server tells of work, and of checkpoints, a moment after they are done.
  const counted = async (name: "rows_written" | "checkpoints") =>
    (await askActivity(meter, home.engine.major)).counters[name] ?? 0;
  const rows = before.counters.rows_written ?? 0;
  await expect.poll(() => counted("rows_written")).toBeGreaterThanOrEqual(rows + 6_000);
  const checkpoints = before.counters.checkpoints ?? 0;
  await expect.poll(() => counted("checkpoints")).toBeGreaterThan(checkpoints);
  const { counters, gauges } = await askActivity(meter, home.engine.major);
  for (const name of ["transactions", "temp_bytes", "wal_bytes"] as const) {
    expect(counters[name], name).toBeGreaterThan(before.counters[name] ?? 0);
  }
  expect(gauges.connections).toBeGreaterThanOrEqual(2);
  const sizes = await askSizes(meter);
  expect(sizes.gauges.storage_bytes).toBeGreaterThan(5_000_000);
  const own = sizes.tenants.get(tenantId);
  expect(own?.storage_bytes).toBeGreaterThan(2_500_000);
  expect(own?.live_rows).toBe(4_000);
  expect(own?.dead_rows).toBe(1_000);
  expect(own?.bloat_bytes).toBeGreaterThan(0);
  await client.end();
});

test("sizes are those of the files, TOAST and indexes included", async () => {
  const { tenantId, connect } = await newTenant();
  const client = await connect();
  await client.query(`create table ${tenantId}.t (n int primary key, x text)`);
  await client.query(`alter table ${tenantId}.t alter column x set storage external`);
  await client.query(`insert into ${tenantId}.t select i, repeat('x', 10000)
    from generate_series(1, 200) i`);
  const { rows } = await client.query<{ bytes: string }>(
    `select pg_total_relation_size('${tenantId}.t') as bytes`,
  );
  expect(await sizeOf(tenantId)).toBe(Number(rows[0]?.bytes));
  await client.query(`drop table ${tenantId}.t`);
  expect(await sizeOf(tenantId)).toBe(0);
  await client.end();
});

test("a session that waits for a lock is seen, and its locks do not stop the meter", async () => {
  const { tenantId, connect } = await newTenant();
  const [holder, waiter] = [await connect(), await connect()];
  await holder.query(`create table ${tenantId}.t (n int)`);
  await holder.query(`insert into ${tenantId}.t values (1)`);
  await holder.query(`begin; lock table ${tenantId}.t in access exclusive mode`);
  const waiting = waiter.query(`select from ${tenantId}.t`);
  await expect
    .poll(async () => (await askActivity(meter, home.engine.major)).tenants.get(tenantId))
    .toMatchObject({ connections: 2, lock_waiting_connections: 1 });
  expect(await sizeOf(tenantId)).toBeGreaterThan(0);
  await holder.query("rollback");
  await waiting;
  await Promise.all([holder.end(), waiter.end()]);
});

test("a tenant can neither forge nor stop what is measured", async () => {
  const { tenantId, connect } = await newTenant(true);
  const client = await connect();
  await client.query("create schema evil");
  for (const statement of [
    "create function evil.count(*) returns bigint language sql as 'select 7::bigint'",
    "create function evil.now() returns timestamptz language sql as 'select null::timestamptz'",
    "create function evil.age(xid) returns int language sql as 'select 7'",
    "create function evil.eq(name, unknown) returns bool language sql as 'select false'",
    "create table evil.pg_stat_database (datname name, xact_commit bigint)",
    "create view evil.pg_stat_activity as select 7 as pid",
    "create table evil.pg_class (oid oid)",
    "create function public.starts_with(text, text) returns bool language sql as 'select false'",
    "create operator evil.<> (leftarg = int, rightarg = int, function = int4eq)",
    "create operator public.= (leftarg = text, rightarg = text, function = textne)",
    "create temp table pg_class (oid oid)",
    `alter role ${tenantId} set search_path = evil, public, pg_catalog`,
    `alter role ${tenantId} set statement_timeout = 1`,
    `alter role ${tenantId} set default_transaction_read_only = on`,
    `alter role ${tenantId} in database aerodb set role = ${tenantId}`,
    "grant all on schema evil, public to aerodb_meter",
    `grant ${tenantId} to aerodb_meter`,
    "alter role aerodb_meter set search_path = evil",
    "alter role aerodb_meter password null",
    "alter role aerodb_meter nologin",
    "alter database aerodb set search_path = evil, pg_catalog",
    "alter database aerodb set statement_timeout = 1",
    "drop role aerodb_meter",
    "set role aerodb_meter",
    "select pg_catalog.pg_stat_reset()",
    "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity " +
      "where usename = 'aerodb_meter'",
    "select pg_catalog.pg_stat_file('PG_VERSION', true)",
  ]) {
    await client.query(statement).catch(() => undefined);
  }
  const fresh = await connectMeter({ socketDirectory, password: meterPassword(ROOT_PASSWORD) });
  const { rows } = await fresh.query<{ path: string; timeout: string; who: string }>(
    "select current_setting('search_path') as path, current_user as who, " +
      "current_setting('statement_timeout') as timeout",
  );
  expect(rows).toEqual([{ path: "pg_catalog,pg_temp", who: "aerodb_meter", timeout: "30s" }]);
  const { counters, gauges, tenants } = await askActivity(fresh, home.engine.major);
  expect(counters.transactions).toBeGreaterThan(7);
  expect(gauges.transaction_id_age).not.toBe(7);
  expect(tenants.get(tenantId)).toMatchObject({ connections: 1 });
  expect((await askSizes(fresh)).gauges.storage_bytes).toBeGreaterThan(5_000_000);
  await Promise.all([fresh.end(), client.end()]);
});

test("the meter may look and nothing else", async () => {
  const { tenantId, connect } = await newTenant();
  const client = await connect();
  await client.query(`create table ${tenantId}.secrets (x text)`);
  for (const statement of [
    `select x from ${tenantId}.secrets`,
    "select rolpassword from pg_catalog.pg_authid",
    "select pg_catalog.pg_read_file('postgresql.conf')",
    "select pg_catalog.pg_stat_file('/etc/passwd')",
    "select pg_catalog.pg_stat_file('../lock')",
    "create table public.t (n int)",
    "create schema mine",
    "create role r",
    `set role ${tenantId}`,
    "copy (select 1) to program 'id'",
    "checkpoint",
  ]) {
    await expect(meter.query(statement), statement).rejects.toThrow(
      /permission denied|must be|not allowed|path must be in|absolute path/i,
    );
  }
  await client.end();
});

test("an instance of an older template gets the login, and it may be made twice", async () => {
  await meter.end();
  const gone = ["revoke execute on function pg_stat_file(text, boolean) from aerodb_meter"];
  await platform.query([...gone, "drop owned by aerodb_meter", "drop role aerodb_meter"].join(";"));
  const password = meterPassword(ROOT_PASSWORD);
  const login = () => withMeter({ socketDirectory, password }, (client) => askSizes(client));
  await expect(login()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const verifier = await meterVerifier(ROOT_PASSWORD);
  await ensureMeterRole(platform, { major: home.engine.major, verifier });
  await ensureMeterRole(platform, { major: home.engine.major, verifier });
  expect((await login()).gauges.storage_bytes).toBeGreaterThan(0);
  meter = await connectMeter({ socketDirectory, password });
});

test("statements are told where the server counts them, each tenant's for itself", async () => {
  expect(await askStatements(meter)).toEqual([]);
  await platform.query("create extension pg_stat_statements schema public");
  expect(await askStatements(meter)).toEqual([]);
  await platform.query("grant usage on schema public to aerodb_meter");
  const { tenantId, connect } = await newTenant(true);
  const client = await connect();
  await client.query(
    "create function public.pg_stat_statements(text) returns int language sql as 'select 1'",
  );
  await client.query("select 'a secret' || generate_series(1, 1000)");
  const found = (await askStatements(meter)).filter((each) => each.tenantId === tenantId);
  const counted = found.find(({ query }) => query.includes("generate_series"));
  expect(counted).toMatchObject({ calls: 1n, rows: 1_000n });
  expect(counted?.query).not.toContain("a secret");
  expect(counted?.totalSeconds).toBeGreaterThan(0);
  await client.end();
});

test("a server whose tenants hold every connection is still measured", async (context) => {
  const { major } = home.engine;
  if (major < 16) context.skip("before 16 connections are kept for superusers only");
  const tenants = await Promise.all(Array.from({ length: 5 }, () => newTenant()));
  const held: Client[] = [];
  const full = async () => {
    for (const tenant of tenants) for (let i = 0; i < 5; i += 1) held.push(await tenant.connect());
  };
  await expect(full()).rejects.toThrow(/remaining connection slots/);
  const password = meterPassword(ROOT_PASSWORD);
  const { gauges } = await withMeter({ socketDirectory, password }, (c) => askActivity(c, major));
  expect(gauges.connections).toBeGreaterThanOrEqual(20);
  await Promise.all(held.map((client) => client.end()));
});

test("a server that has stopped to answer costs the meter its deadline and no more", async () => {
  const password = meterPassword(ROOT_PASSWORD);
  process.kill(postmaster.pid, "SIGSTOP");
  try {
    const { major } = home.engine;
    const asked = withMeter({ socketDirectory, password }, (client) => askActivity(client, major));
    await expect(asked).rejects.toMatchObject({ code: "UNAVAILABLE" });
  } finally {
    process.kill(postmaster.pid, "SIGCONT");
  }
});
