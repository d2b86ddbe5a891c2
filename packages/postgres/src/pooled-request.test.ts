import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { connectPool } from "./connection.ts";
import { poolPassword } from "./pool-login.ts";
import { pooledRequest } from "./pooled-request.ts";
import { isAsDesired, listTenants } from "./tenant-role.ts";
import { ROOT_PASSWORD } from "./throwaway-instance.ts";
import {
  outcomeOf,
  type ThrowawayTenant,
  type WalledServer,
  walledServer,
} from "./throwaway-tenant.ts";

let walled: WalledServer;
let one: ThrowawayTenant;
let other: ThrowawayTenant;
let inside: Client;
let pool: Client;

beforeAll(async () => {
  walled = await walledServer({ shared: true, forced: true });
  [one, other] = [await walled.newTenant(), await walled.newTenant()];
  for (const tenant of [other, one]) {
    inside = await tenant.connect();
    await inside.query("create table notes (id serial, text text)");
    await inside.query("insert into notes (text) values ($1)", [`of ${tenant.tenantId}`]);
    // A function of the tenant's that does whatever it is told, as its triggers could.
    await inside.query(
      `create function run(code text) returns text language plpgsql as
         $$ declare found text; begin execute code into found; return found; end $$;
       create function obey(code text) returns text language plpgsql as
         $$ begin execute code; return 'done'; end $$`,
    );
    if (tenant === other) await inside.end();
  }
});
afterAll(async () => {
  await inside.end();
  await walled.remove();
});

beforeEach(async () => {
  const password = poolPassword(ROOT_PASSWORD);
  pool = await connectPool({ ...walled.server.settings, password });
  return () => pool.end();
});

function request(tenant: ThrowawayTenant, text: string, values: readonly (string | null)[] = []) {
  return pooledRequest(pool, tenant.tenantId, { text, values });
}

test("each request is its tenant's, one after the other over one session", async () => {
  for (const tenant of [one, other, one]) {
    const me = tenant.tenantId;
    expect(await request(tenant, "select text from notes where id >= $1::int", ["0"])).toEqual([
      { text: `of ${me}` },
    ]);
    const text =
      "select session_user as login, current_user as role, aerodb.current_tenant() as who";
    expect(await request(tenant, text)).toEqual([{ login: "aerodb_pool", role: me, who: me }]);
  }
});

test("rows are written, with values of every kind as text", async () => {
  const text = "insert into notes (id, text) values ($1::int, $2) returning id, text -- kept";
  expect(await request(one, text, ["7", null])).toEqual([{ id: 7, text: null }]);
  expect(await request(one, "delete from notes where id = $1::int returning id", ["7"])).toEqual([
    { id: 7 },
  ]);
  const many = Array.from({ length: 33 }, () => null);
  await expect(request(one, "select 1", many)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});

test("no code of the tenant's gets at its neighbour's rows", async () => {
  for (const code of [
    `select text from ${other.name}.notes`,
    `insert into ${other.name}.notes (text) values ('planted') returning text`,
    `set role ${other.name}`,
    "reset role",
    "set session authorization default",
    `select set_config('role', '${other.tenantId}', true)`,
    `select door from aerodb.${other.name}('guess', 'select text from notes', '{}') door`,
    `select door from aerodb.${one.name}('guess', 'select text from notes', '{}') door`,
  ]) {
    await expect(request(one, "select run($1)", [code]), code).rejects.toThrow(
      /permission denied|cannot set parameter "(role|session_authorization)"|no such door/,
    );
    await expect(request(one, code), code).rejects.toThrow();
  }
  expect(await request(other, "select count(*)::int as all from notes")).toEqual([{ all: 1 }]);
});

test("nor does what it leaves for the end of the transaction", async () => {
  const lost = `begin
      execute 'set role ${other.name}';
      insert into caught select text from ${other.name}.notes;
    exception when others then
      insert into caught values (sqlerrm);
    end;`;
  await inside.query(
    `create table caught (what text); create table late (i int);
     create function look() returns text language plpgsql as $$ begin ${lost} return ''; end $$;
     create function spring() returns trigger language plpgsql as $$ begin
       ${lost}
       if new.i > 0 then
         set constraints all deferred;
         insert into late values (new.i - 1);
         execute format('declare kept%s cursor with hold for select look()', new.i);
       end if;
       return null; end $$;
     create constraint trigger spring after insert on late deferrable initially deferred
       for each row execute function spring()`,
  );
  const cursor = "declare kept cursor with hold for select look()";
  for (const [text, value] of [
    ["insert into late values ($1::int) returning i", "0"],
    ["insert into late values ($1::int) returning i", "3"],
    ["select obey($1)", cursor],
  ] as const) {
    await request(one, text, [value]).catch(() => undefined);
  }
  const { rows } = await inside.query<{ what: string }>("select distinct what from caught");
  expect(rows.length).toBeGreaterThan(0);
  for (const { what } of rows) {
    expect(what).toMatch(/^cannot set parameter "role"|^permission denied/);
  }
  expect(await request(other, "select current_user as role")).toEqual([{ role: other.tenantId }]);
});

test("a tag that does not name the tenant shows nothing and writes nothing", async () => {
  const forge = `select set_config('app.tenant_id', '${other.tenantId}', false)`;
  const text = "select run($1) as tag, run('select text from notes') as text";
  expect(await request(one, text, [forge])).toEqual([{ tag: other.tenantId, text: null }]);
  const write = "select run($1), run('insert into notes (text) values (''x'') returning text')";
  await expect(request(one, write, [forge])).rejects.toMatchObject({ code: "42501" });
});

test("the login by itself is nobody and may do nothing", async () => {
  const who = await pool.query("select aerodb.current_tenant() as who");
  expect(who.rows).toEqual([{ who: null }]);
  for (const statement of [
    `select * from ${one.name}.notes`,
    `select aerodb.${one.name}('guess', 'select 1', '{}')`,
    `select aerodb.${one.name}(null, 'select 1', '{}')`,
    `create table ${one.name}.planted (i int)`,
    "create temporary table planted (i int)",
    "create table public.planted (i int)",
    "create table aerodb.planted (i int)",
    `set role ${one.name}`,
    "set role aerodb_tenants",
    "set role aerodb_root",
  ]) {
    expect(await outcomeOf(pool, statement), statement).toMatch(/^42501/);
  }
});

test("one statement that returns rows is all there can be", async () => {
  for (const text of ["select 1; select 2", "commit", "rollback", "reset role", "set a.b = 1"]) {
    await expect(request(one, text), text).rejects.toMatchObject({ code: "42601" });
    expect(await request(other, "select current_user as role")).toEqual([{ role: other.tenantId }]);
  }
});

test("what fails leaves nothing, and the next request is served", async () => {
  const failing = "with gone as (delete from notes returning id) select 1 / (id - id) from gone";
  await expect(request(one, failing)).rejects.toThrow();
  const dividing = "insert into notes (text) values ('x') returning 1 / (id - id)";
  await expect(request(one, dividing)).rejects.toMatchObject({ code: "22012" });
  expect(await request(one, "select count(*)::int as all from notes")).toEqual([{ all: 1 }]);
});

test.each([
  ["a temporary table", "create temporary table left_behind as select 'secret' as s"],
  ["a prepared statement", "prepare left_behind as select 'secret'"],
  ["a cursor", "declare left_behind cursor with hold for select 'secret'"],
  ["a setting", "set app.secret = 'secret'"],
  ["a search path", "set search_path = pg_temp"],
  ["a channel", "listen left_behind"],
  ["a lock", "select pg_advisory_lock(4711)"],
  ["a number of a sequence", "select nextval('notes_id_seq')"],
  ["a limit of time", "set statement_timeout = 1"],
])("%s does not outlast its request", async (_what, code) => {
  expect(await request(one, "select obey($1)", [code])).toEqual([{ obey: "done" }]);
  const left = await request(
    other,
    `select (select count(*) from pg_prepared_statements where name = 'left_behind') as prepared,
       (select count(*) from pg_cursors where name = 'left_behind') as cursors,
       (select count(*) from pg_listening_channels()) as channels,
       to_regclass('pg_temp.left_behind') as made,
       nullif(current_setting('app.secret', true), '') as setting,
       current_setting('search_path') like '%extensions%' as path,
       current_setting('statement_timeout') as timeout`,
  );
  const clean = { prepared: 0, cursors: 0, channels: 0, made: null, setting: null };
  expect(left).toEqual([{ ...clean, path: true, timeout: "30s" }]);
  await expect(request(other, "select lastval()")).rejects.toMatchObject({ code: "55000" });
  const { rows } = await walled.root.query("select from pg_locks where locktype = 'advisory'");
  expect(rows).toEqual([]);
});

test("a tenant's door is the platform's: it cannot be turned, opened to others or go missing", async () => {
  const door = `function aerodb.${one.name}(text, text, text[])`;
  for (const statement of [
    `alter ${door} security invoker`,
    `alter ${door} set search_path = public`,
    `alter ${door} rename to open`,
    `grant execute on ${door} to ${other.name}`,
    `grant execute on ${door} to public`,
    `create or replace ${door} returns setof jsonb language sql as 'select null::jsonb'`,
    `drop ${door}`,
  ]) {
    expect(await outcomeOf(inside, statement), statement).toMatch(/^42501/);
  }
  await inside.query(`grant all on notes to ${one.name}`);
  await walled.root.query(`drop ${door}`);
  const [listed] = (await listTenants(walled.root)).filter((it) => it.tenantId === one.tenantId);
  expect(listed && isAsDesired(listed, one.desired)).toBe(false);
  await one.repair();
  expect(await request(one, "select 1 as one")).toEqual([{ one: 1 }]);
});

test("who is not there, or may not log in, is not served", async () => {
  const nobody = `ten_${"9".repeat(26)}` as TenantId;
  const statement = { text: "select 1", values: [] };
  await expect(pooledRequest(pool, nobody, statement)).rejects.toMatchObject({
    code: "TENANT_NOT_FOUND",
  });
  const suspended = await walled.newTenant();
  await walled.root.query(`alter role ${suspended.name} nologin`);
  await expect(request(suspended, "select 1")).rejects.toMatchObject({
    code: "TENANT_NOT_ACTIVE",
  });
  expect(await request(one, "select 1 as one")).toEqual([{ one: 1 }]);
});

test("its sessions say whose request they serve, and show nobody the key", async () => {
  const seen = "select query from pg_stat_activity where pid = pg_backend_pid()";
  const [row] = await request(
    one,
    "select current_setting('application_name') as name, current_query() as query, run($1) as seen",
    [seen],
  );
  expect(row).toMatchObject({ name: `aerodb-pool ${one.tenantId}` });
  expect(JSON.stringify(row)).not.toContain(poolPassword(ROOT_PASSWORD));
  const failing = `select run('set log_parameter_max_length_on_error = -1'), run($1)`;
  const caught = await request(one, failing, ["select 1 / 0"]).catch((error: unknown) => error);
  expect(`${JSON.stringify(caught)} ${caught}`).not.toContain(poolPassword(ROOT_PASSWORD));
  const { rows } = await pool.query("show application_name");
  expect(rows).toEqual([{ application_name: "aerodb-pool" }]);
});
