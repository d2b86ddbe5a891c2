import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { quoteIdentifier } from "./identifier.ts";
import { CLOSED_FUNCTIONS } from "./public-functions.ts";
import { dropTenant } from "./tenant-drop.ts";
import {
  outcomeOf,
  type ThrowawayTenant,
  type WalledServer,
  walledServer,
} from "./throwaway-tenant.ts";
import { ensureWalls } from "./walls.ts";

const WALLS = { shared: true, forced: false };
let walled: WalledServer;
let tenant: ThrowawayTenant;
let client: Client;

beforeAll(async () => {
  walled = await walledServer(WALLS);
});
afterAll(() => walled.remove());

beforeEach(async () => {
  tenant = await walled.newTenant();
  client = await tenant.connect();
  await client.query("create table t (i int primary key, x text); insert into t values (1, 'a')");
  return async () => {
    await client.end();
    await dropTenant(walled.root, tenant.tenantId);
  };
});

interface Relation {
  readonly name: string;
  readonly enabled: boolean;
  readonly policies: number;
}

/** Tables of the tenant, with how many policies of the platform each has for it. */
async function tables(): Promise<Record<string, boolean>> {
  const { rows } = await walled.root.query<Relation>(
    `select c.relname as name, c.relrowsecurity as enabled, (
        select count(*)::int from pg_policy p where p.polrelid = c.oid and p.polpermissive
          and p.polcmd = '*' and p.polroles = '{0}' and p.polname like 'aerodb_tenant%'
          and pg_get_expr(p.polqual, c.oid) = pg_get_expr(p.polwithcheck, c.oid)
          and pg_get_expr(p.polqual, c.oid) =
            format('(( SELECT aerodb.current_tenant() AS current_tenant) = %L::text)', $1::text)
        ) as policies
      from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = $2::regnamespace
      order by 1`,
    [tenant.tenantId, tenant.name],
  );
  return Object.fromEntries(
    rows.map(({ name, enabled, policies }) => [name, enabled && policies === 1]),
  );
}

async function policyOf(table: string): Promise<string> {
  const { rows } = await client.query<{ polname: string }>(
    `select polname from pg_policy where polrelid = '${table}'::regclass
      and polname like 'aerodb_tenant%'`,
  );
  return quoteIdentifier(rows[0]?.polname ?? "none");
}

describe("a table has its policy as soon as it is there", () => {
  test.each([
    ["made plainly", "create table made (id serial primary key, j int references t)"],
    ["without a log", "create unlogged table made (j int)"],
    ["of a query", "create table made as select * from t"],
    ["by select into", "select * into made from t"],
    ["like another", "create table made (like t including all)"],
    ["by inheritance", "create table made () inherits (t)"],
    ["of a type", "create type shape as (j int); create table made of shape"],
    ["as a partition", "create table made (i int) partition by list (i)"],
    ["in a block", "do $$ begin execute 'create table made (j int)'; end $$"],
    [
      "by a function",
      "create function f() returns void language sql as 'create table made (j int)'; select f()",
    ],
    ["where = is another", "create table made (j int); alter table made add column k int"],
    ["with every name quoted", "set quote_all_identifiers = on; create table made (j int)"],
    ["in a transaction", "begin; create table made (j int); insert into made values (1); commit"],
    ["prepared", "prepare p as select * from t; create table made as execute p"],
  ])("%s", async (_how, statement) => {
    await client.query(
      `create function eq(text, text) returns boolean language sql immutable as 'select false';
       create operator = (leftarg = text, rightarg = text, function = eq);
       create function format(text) returns text language sql as 'select null::text';
       set search_path = ${tenant.name}, pg_catalog`,
    );
    await client.query(statement);
    expect(await tables()).toEqual({ made: true, t: true });
  });

  test("also what becomes a partition, and what stops being one", async () => {
    await client.query(
      `create table whole (i int, x text) partition by list (i);
       create table one partition of whole for values in (1);
       create table two (i int, x text);
       alter table whole attach partition two for values in (2);
       insert into whole values (1, 'a'), (2, 'b');
       alter table whole detach partition one`,
    );
    expect(await tables()).toEqual({ one: true, t: true, two: true, whole: true });
    expect((await client.query("select i from whole")).rows).toEqual([{ i: 2 }]);
  });

  test("and temporary tables go without", async () => {
    await client.query("create temporary table passing as select * from t");
    const { rows } = await client.query(
      "select relrowsecurity as on from pg_class where oid = 'passing'::regclass",
    );
    expect(rows).toEqual([{ on: false }]);
  });
});

test("a tenant sees and writes its own rows, copies and truncates", async () => {
  await client.query("create table c as select * from t; update c set x = 'b'");
  const { rows } = await client.query("select * from c");
  expect(rows).toEqual([{ i: 1, x: "b" }]);
  // As pg_dump reads, which would rather fail than miss a row.
  await client.query("set row_security = off");
  expect((await client.query("copy t to stdout")).command).toBe("COPY");
  await client.query("truncate t, c");
});

const PLATFORM_KEEPS = /^42501 the (platform keeps row level security|policy of the platform)/;

test("the platform's policy is not to be taken away, changed, renamed or widened", async () => {
  const own = await policyOf("t");
  for (const statement of [
    "alter table t disable row level security",
    "alter table t disable row level security, add column y int",
    "do $$ begin execute 'alter table t disable row level security'; end $$",
    `drop policy ${own} on t`,
    `alter policy ${own} on t using (true)`,
    `alter policy ${own} on t to current_user`,
    `alter policy ${own} on t rename to other`,
    `alter policy ${own} on t rename to aerodb_tenant_other`,
    `set quote_all_identifiers = on; alter table t disable row level security`,
    `begin; alter table t disable row level security; create table n (); commit`,
  ]) {
    expect(await outcomeOf(client, statement), statement).toMatch(PLATFORM_KEEPS);
    await client.query("rollback");
  }
  for (const statement of [
    "create policy mine on t using (true)",
    "create policy mine on t for select to current_user using (true)",
  ]) {
    expect(await outcomeOf(client, statement), statement).toMatch(/^42501 the policy mine would/);
  }
  await client.query("create policy narrow on t as restrictive using (i > 0)");
  await client.query("alter policy narrow on t using (i > 1)");
  expect(await outcomeOf(client, "alter policy narrow on t rename to aerodb_tenant_x")).toMatch(
    PLATFORM_KEEPS,
  );
  await client.query("drop policy narrow on t");
  await client.query("alter table t force row level security; select from t");
  await client.query("alter table t no force row level security");
  expect(await tables()).toEqual({ t: true });
});

test.each([
  ["its own", (own: string) => own],
  ["a neighbour's", () => "ten_99999999999999999999999999"],
  ["nobody's", () => ""],
])("a policy of the platform that a dump brings along with %s tag goes again", async (_, tag) => {
  const same = `(select aerodb.current_tenant()) = '${tag(tenant.tenantId)}'`;
  const before = await policyOf("t");
  await client.query(
    `alter table t enable row level security;
     create policy aerodb_tenant_dumped on t using (${same}) with check (${same})`,
  );
  expect(await policyOf("t")).toBe(before);
  expect(await tables()).toEqual({ t: true });
});

test("views look with the rights of who asks, whatever is said of them", async () => {
  await client.query("create view v as select * from t");
  for (const statement of [
    "create or replace view v with (security_barrier) as select * from t",
    "create or replace view v with (security_invoker = off) as select * from t",
    "alter view v reset (security_invoker)",
    "alter view v set (security_invoker = false)",
    "alter table v set (security_invoker = 0)",
    "create or replace recursive view v (i, x) as select i, x from t",
  ]) {
    await client.query(statement);
    const { rows } = await client.query(
      "select 'security_invoker=true' = any (reloptions) as on from pg_class " +
        "where oid = 'v'::regclass",
    );
    expect(rows, statement).toEqual([{ on: true }]);
  }
});

describe("what would reach past the owner is refused, with why and what to do", () => {
  const routine = "language sql security definer as 'select 1'";
  const plain = "create function f() returns int language sql as 'select 1'";
  const grants = /^42501 .* would be granted to .* alone: leave out the grant/;
  const definer = /^42501 .* would run with the rights of its owner.* Leave out SECURITY DEFINER/;
  test.each([
    ["a definer's function", "", `create function f() returns int ${routine}`, definer],
    ["a definer's procedure", "", `create procedure f() ${routine}`, definer],
    ["in a temporary schema", "", `create function pg_temp.f() returns int ${routine}`, definer],
    ["a function made a definer's", plain, "alter function f() security definer", definer],
    ["as a routine", plain, "alter routine f() security definer", definer],
    ["replaced", plain, `create or replace function f() returns int ${routine}`, definer],
    ["a table to all", "", "grant select on t to public", grants],
    ["a column to all", "", "grant update (x) on t to public", grants],
    ["all tables", "", "grant all on all tables in schema OWN to public", grants],
    ["to the group", "", "grant select on t to aerodb_tenants", grants],
    ["to the pooled login", "", "grant select on t to aerodb_pool", grants],
    ["to a role of Postgres", "", "grant select on t to pg_monitor", grants],
    ["in a block", "", "do $$ begin execute 'grant select on t to public'; end $$", grants],
    ["a sequence", "create sequence s", "grant usage on s to public", grants],
    ["a function", plain, "grant execute on function f() to aerodb_tenants", grants],
    ["a type", "create type e as enum ('a')", "grant usage on type e to aerodb_tenants", grants],
    ["what comes", "", "alter default privileges grant select on tables to public", grants],
    [
      "what comes in a schema",
      "",
      "alter default privileges in schema OWN grant all on tables to aerodb_tenants",
      grants,
    ],
  ])("%s", async (_what, before, statement, sentence) => {
    await client.query(before);
    const text = statement.replace("OWN", tenant.name);
    expect(await outcomeOf(client, text)).toMatch(sentence);
  });

  test("large objects", async () => {
    const { rows } = await client.query("select lo_create(0) as id");
    const statement = `grant select on large object ${rows[0].id} to public`;
    expect(await outcomeOf(client, statement)).toMatch(grants);
  });

  test("not what a dump says of the owner", async () => {
    await client.query(
      `create function f() returns int language sql as 'select 1';
       grant all on t to ${tenant.name}; alter table t owner to ${tenant.name};
       revoke all on function f() from public; grant execute on function f() to ${tenant.name};
       alter default privileges revoke execute on functions from public;
       alter default privileges grant select on tables to current_user`,
    );
  });
});

test("a materialized view holds own rows, and never those of a shared table", async () => {
  await walled.root.query(
    `create schema if not exists shared; grant usage on schema shared to aerodb_tenants;
     create table if not exists shared.s (i int); grant select on shared.s to aerodb_tenants`,
  );
  await client.query("create materialized view own as select * from t");
  await client.query("refresh materialized view own; alter materialized view own rename to mine");
  await client.query("create view v as select * from shared.s; create view w as select * from v");
  for (const from of ["shared.s", "v", "w"]) {
    expect(await outcomeOf(client, `create materialized view m as select * from ${from}`)).toMatch(
      /^42501 .* would keep rows of a shared table.* Make it a view/,
    );
  }
  await client.query("create view plain as select i from t");
  await client.query("create materialized view later as select * from plain");
  const replaced = "create or replace view plain as select i from shared.s";
  expect(await outcomeOf(client, replaced)).toMatch(/^42501 .* by way of \S+plain/);
  await client.query("drop materialized view later; drop view plain");
});

test("a materialized view that EXPLAIN made of a shared table goes again", async () => {
  await client.query("explain analyze create materialized view sly as select * from shared.s");
  expect(await ensureWalls(walled.root, WALLS)).toBe(0);
  const { rows } = await client.query("select to_regclass('sly') as sly");
  expect(rows).toEqual([{ sly: null }]);
});

test("one that something hangs on goes with it, and keeps nobody else from what is to be kept", async () => {
  const neighbour = await walled.newTenant();
  const theirs = await neighbour.connect();
  // Without a trigger, and so without a policy.
  await theirs.query("explain analyze create table bare as select 1 as i");
  await client.query("explain analyze create materialized view sly as select * from shared.s");
  await client.query("create table hangs (x regclass default 'sly'::regclass)");
  expect(await ensureWalls(walled.root, WALLS)).toBe(0);
  const { rows } = await client.query("select to_regclass('sly') as sly");
  expect(rows).toEqual([{ sly: null }]);
  const bare = "select relrowsecurity as kept from pg_class where oid = 'bare'::regclass";
  expect((await theirs.query(bare)).rows).toEqual([{ kept: true }]);
  await client.query("drop table hangs");
  await theirs.end();
});

test("what cannot be kept of one tenant keeps nobody else from it", async () => {
  const neighbours = [await walled.newTenant(), await walled.newTenant()];
  const bare = "explain analyze create table bare as select 1 as i";
  await client.query(bare);
  await walled.root.query(`revoke all on schema ${tenant.name} from ${tenant.name}`);
  for (const neighbour of neighbours) {
    const theirs = await neighbour.connect();
    await theirs.query(bare);
    await theirs.end();
  }
  expect(await ensureWalls(walled.root, WALLS)).toBeGreaterThan(0);
  const kept = "select relrowsecurity as kept from pg_class where oid = $1::regclass";
  for (const { name } of neighbours) {
    const { rows } = await walled.root.query(kept, [`${name}.bare`]);
    expect(rows).toEqual([{ kept: true }]);
  }
  await walled.root.query(`grant all on schema ${tenant.name} to ${tenant.name}`);
  expect(await ensureWalls(walled.root, WALLS)).toBe(0);
  for (const { tenantId } of neighbours) await dropTenant(walled.root, tenantId);
});

test.each([
  "grant all on tables to public",
  "grant all on sequences to public",
  "revoke all on functions from public",
  "revoke all on types from aerodb_tenants",
])("nobody decides for all tenants: %s", async (what) => {
  const asGroup = `alter default privileges for role aerodb_tenants ${what}`;
  expect(await outcomeOf(client, asGroup)).toMatch(/^42501 .* not a tenant's to decide/);
  // Where no trigger stands, or none stood yet.
  await walled.root.query(asGroup);
  await ensureWalls(walled.root, WALLS);
  const left = "select from pg_default_acl where defaclrole = 'aerodb_tenants'::regrole";
  expect((await walled.root.query(left)).rowCount).toBe(0);
});

test("who cannot be told apart sees and writes nothing, and nobody is somebody else", async () => {
  const neighbour = await walled.newTenant();
  const ask = async (tag: string) => {
    await client.query("select set_config('app.tenant_id', $1, false)", [tag]);
    return (await client.query("select aerodb.current_tenant() as who")).rows[0].who;
  };
  expect((await client.query("select aerodb.current_tenant() as who")).rows).toEqual([
    { who: tenant.tenantId },
  ]);
  expect(await ask(neighbour.tenantId)).toBeNull();
  expect(await ask("")).toBeNull();
  await client.query("alter table t force row level security");
  expect((await client.query("select * from t")).rows).toEqual([]);
  expect((await client.query("update t set x = 'b'")).rowCount).toBe(0);
  expect(await outcomeOf(client, "insert into t values (2)")).toMatch(/^42501 new row violates/);
  expect(await ask(tenant.tenantId)).toBe(tenant.tenantId);
  expect((await client.query("select i from t")).rows).toEqual([{ i: 1 }]);
  await dropTenant(walled.root, neighbour.tenantId);
});

test("nobody but the platform changes what the walls are made of", async () => {
  for (const statement of [
    "create function aerodb.current_tenant(int) returns text language sql as 'select null'",
    "create or replace function aerodb.forces_row_security() returns boolean language sql return 1",
    "alter function aerodb.current_tenant() rename to other",
    "drop function aerodb.current_tenant() cascade",
    "drop event trigger aerodb_relations",
    "alter event trigger aerodb_grants disable",
    "drop schema aerodb cascade",
    "alter schema aerodb rename to other",
    "set session_replication_role = replica",
    "set temp_file_limit = -1",
    "alter role current_user set temp_file_limit = -1",
    "alter role current_user connection limit 100",
    // Before 16 every member of a role may become it: this one may connect, and nothing else.
    ...(walled.server.settings.engine.major < 16 ? [] : ["set role aerodb_tenants"]),
    "set role aerodb_pool",
    "select * from pg_locks",
    "select pg_control_system()",
    "select pg_logical_emit_message(false, 'a', 'b')",
  ]) {
    expect(await outcomeOf(client, statement), statement).toMatch(/^42501/);
  }
});

test("what no tenant needs is closed, and what psql and drivers ask is not", async () => {
  const { rows } = await client.query<{ readonly name: string }>(
    `select proname as name from pg_proc where proname = any ($1)
      and has_function_privilege(oid, 'execute')`,
    [CLOSED_FUNCTIONS.map(({ name }) => name)],
  );
  expect(rows).toEqual([]);
  await client.query(
    `select * from pg_stat_activity; select * from pg_settings; select * from pg_roles;
     select pg_total_relation_size('t'), pg_notify('c', ''), pg_is_in_recovery();
     select * from pg_stat_user_tables; select pg_get_viewdef(c.oid) from pg_class c limit 1;
     select * from information_schema.tables; select pg_export_snapshot(), lo_create(0);
     select pg_advisory_xact_lock(1), pg_blocking_pids(0), pg_postmaster_start_time()`,
  );
});

test("the platform itself is not held up", async () => {
  await walled.root.query(
    `create schema if not exists shared; create table shared.held (i int);
     grant select on shared.held to public; drop table shared.held`,
  );
});
