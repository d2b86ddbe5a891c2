import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectPlatform, connectPool } from "./connection.ts";
import { proveIsolation } from "./isolation/isolation-proof.ts";
import { holds } from "./isolation/rule.ts";
import { poolPassword } from "./pool-login.ts";
import { pooledRequest } from "./pooled-request.ts";
import { applySharedTables, type SharedTableChange, trySharedTables } from "./shared-tables.ts";
import { mendSharedTables } from "./shared-tables-keeping.ts";
import { dropTenant } from "./tenant-drop.ts";
import { ROOT_PASSWORD } from "./throwaway-instance.ts";
import {
  outcomeOf,
  type ThrowawayTenant,
  type WalledServer,
  walledServer,
} from "./throwaway-tenant.ts";

const NOTES = `
  create table notes (
    tenant_id text,
    id bigint generated always as identity,
    title text,
    secret int,
    primary key (tenant_id, id),
    unique (tenant_id, title)
  );
  create table parts (
    tenant_id text,
    note bigint,
    part serial,
    primary key (tenant_id, note, part),
    foreign key (tenant_id, note) references notes (tenant_id, id) on delete cascade
  );
  create index on notes (tenant_id, lower(title));`;
const FIRST: SharedTableChange = { number: 1, name: "notes.sql", sql: NOTES };
const CHANGES: readonly SharedTableChange[] = [
  FIRST,
  { number: 2, name: "b.sql", sql: "alter table notes add column b int" },
  { number: 3, name: "c.sql", sql: "alter table notes rename column b to c" },
  { number: 4, name: "d.sql", sql: "drop owned by current_user" },
  { number: 5, name: "e.sql", sql: "create table anew (tenant_id text primary key)" },
];

let walled: WalledServer;
let one: ThrowawayTenant;
let other: ThrowawayTenant;
let inside: Client;
let outside: Client;

beforeAll(async () => {
  walled = await walledServer({ shared: true, forced: false });
  [one, other] = [await walled.newTenant(), await walled.newTenant()];
  expect(await trySharedTables(walled.root, FIRST)).toBeUndefined();
  // A trial leaves nothing, not even what changes stand on.
  expect(await exists("pg_roles where rolname = 'aerodb_shared'")).toBe(false);
  expect(await applySharedTables(walled.root, [FIRST])).toBe(1);
  inside = await one.connect();
  outside = await other.connect();
  await inside.query("insert into shared.notes (title, secret) values ('mine', 1)");
  await inside.query("insert into shared.parts (note) select id from shared.notes");
  await outside.query("insert into shared.notes (title, secret) values ('mine', 2)");
});
afterAll(async () => {
  await inside.end();
  await outside.end();
  await walled.remove();
});

async function exists(what: string): Promise<boolean> {
  return (await walled.root.query(`select from pg_catalog.${what}`)).rowCount !== 0;
}

/** Tries a change, which is never kept. */
async function refusalOf(sql: string) {
  const before = await snapshot();
  const refusal = await trySharedTables(walled.root, { number: 2, name: "next.sql", sql });
  expect(await snapshot()).toEqual(before);
  return refusal;
}

/** What is in the schema, and what its owner may do. */
async function snapshot() {
  const { rows } = await walled.root.query(`
    select relname as name, relacl::text as acl, relkind as kind, relforcerowsecurity as forced
    from pg_catalog.pg_class where relnamespace = 'shared'::regnamespace
    union all
    select rolname, rolbypassrls::text, 'o', rolsuper from pg_catalog.pg_roles
    where rolname in ('aerodb_shared', 'aerodb_root', 'aerodb_tenants')
    order by 1`);
  return rows;
}

/** Ids of rules that do not hold of a tenant. */
async function broken(): Promise<readonly string[] | undefined> {
  const scope = { shared: true, forced: false };
  const [proof] = await proveIsolation(walled.root, scope, [{ tenantId: one.tenantId }]);
  return proof?.rules.filter((rule) => !holds(rule)).map(({ id }) => id);
}

describe("a tenant", () => {
  test("sees and writes its own rows, and need not say whose they are", async () => {
    for (const [client, tenant] of [
      [inside, one],
      [outside, other],
    ] as const) {
      const { rows } = await client.query("select tenant_id, title from shared.notes");
      expect(rows).toEqual([{ tenant_id: tenant.tenantId, title: "mine" }]);
    }
  });

  test("sees the same through the pooled path, and no more with a forged tag", async () => {
    const password = poolPassword(ROOT_PASSWORD);
    const pool = await connectPool({ ...walled.server.settings, password });
    const ask = (tenant: ThrowawayTenant, text: string, values: readonly string[] = []) =>
      pooledRequest(pool, tenant.tenantId, { text, values });
    const read = "select secret from shared.notes";
    expect(await ask(one, read)).toEqual([{ secret: 1 }]);
    expect(await ask(other, read)).toEqual([{ secret: 2 }]);
    const forged = `select n.secret from (select set_config('app.tenant_id', $1, true)) s,
      lateral (select secret from shared.notes) n`;
    const seen = await ask(one, forged, [other.tenantId]);
    expect(seen.every((row) => row["secret"] !== 2)).toBe(true);
    await pool.end();
  });

  test("reads and writes nothing under a tag that is forged or missing", async () => {
    for (const tag of [other.tenantId, ""]) {
      await inside.query("select set_config('app.tenant_id', $1, false)", [tag]);
      expect((await inside.query("select from shared.notes")).rowCount).toBe(0);
      expect((await inside.query("update shared.notes set secret = 9")).rowCount).toBe(0);
      expect((await inside.query("delete from shared.notes")).rowCount).toBe(0);
      const insert = `insert into shared.notes (tenant_id) values ('${other.tenantId}')`;
      expect(await outcomeOf(inside, insert)).toMatch(/^42501 .*row-level security/);
      expect(await outcomeOf(inside, "insert into shared.notes (title) values ('x')")).toMatch(
        /^(42501|23502)/,
      );
    }
    await inside.query("reset app.tenant_id");
  });

  test.each([
    [
      "write a row of a neighbour",
      (id: string) => `insert into shared.notes (tenant_id)
      values ('${id}')`,
    ],
    ["give a row away", (id: string) => `update shared.notes set tenant_id = '${id}'`],
    ["truncate", () => "truncate shared.notes cascade"],
    [
      "refer to it",
      () => `create table r (t text, i bigint, foreign key (t, i)
      references shared.notes (tenant_id, id))`,
    ],
    [
      "put a trigger on it",
      () => `create trigger t before insert on shared.notes
      for each row execute function suppress_redundant_updates_trigger()`,
    ],
    ["change it", () => "alter table shared.notes disable row level security"],
    ["index it", () => "create index on shared.notes (secret)"],
    ["make something beside it", () => "create table shared.own (i int)"],
    ["read past policies", () => "set row_security = off; select from shared.notes"],
    ["reset a sequence", () => "select setval('shared.parts_part_seq', 1)"],
    ["read a sequence", () => "select last_value from shared.parts_part_seq"],
    ["see which changes there are", () => "select from aerodb.shared_table_changes"],
    ["keep rows of it", () => "create materialized view m as select * from shared.notes"],
  ])("cannot %s", async (_, statement) => {
    expect(await outcomeOf(inside, statement(other.tenantId))).toMatch(/^(42501|42P01)/);
    await inside.query("set row_security = on");
  });

  test("learns nothing of values from keys, statistics or plans", async () => {
    await outside.query(
      `insert into shared.notes (title, secret)
         select 'n' || i, 4711 from generate_series(1, 3000) i
         union all select 'm' || i, i from generate_series(1, 3000) i`,
    );
    await walled.root.query("analyze shared.notes");
    const kept = "select from pg_catalog.pg_stats where schemaname = 'shared'";
    expect((await walled.root.query(kept)).rowCount).toBe(1);
    for (const setting of ["off", "on"]) {
      await inside.query(`set row_security = ${setting}`);
      expect((await inside.query(kept)).rowCount).toBe(0);
    }
    const estimate = async (where: string): Promise<number> => {
      const { rows } = await inside.query(
        `explain (format json) select from shared.notes where ${where}`,
      );
      return rows[0]["QUERY PLAN"][0].Plan["Plan Rows"];
    };
    for (const [common, rare] of [
      ["secret = 4711", "secret = 12345"],
      ["secret < 1500", "secret < 100000"],
      ["lower(title) = 'mine'", "lower(title) = 'other'"],
      ["title > 'n'", "title > 'z'"],
    ] as const) {
      expect([common, await estimate(common)]).toEqual([common, await estimate(rare)]);
    }
    expect((await inside.query("insert into shared.notes (title) values ('n1')")).rowCount).toBe(1);
    await inside.query("delete from shared.notes where title = 'n1'");
  });

  test("is proven with shared tables around it", async () => {
    const scope = { shared: true, forced: false };
    const [proof] = await proveIsolation(walled.root, scope, [{ tenantId: one.tenantId }]);
    expect(proof?.rules.filter((rule) => !holds(rule))).toEqual([]);
    const counts = Object.fromEntries(proof?.rules.map(({ id, checked }) => [id, checked]) ?? []);
    expect(counts).toMatchObject({ "shared_tables.policy": 2, "shared_tables.references": 1 });
  });
});

describe("a change", () => {
  const OWN = "tenant_id text";
  test.each([
    ["without the column", "create table t (id int primary key)", "tenant_id"],
    [
      "with a column of another type",
      "create table t (tenant_id int primary key)",
      "table shared.t",
    ],
    ["without a primary key", `create table t (${OWN} not null)`, "primary key of table shared.t"],
    ["with a key of its own", `create table t (id int primary key, ${OWN} not null)`, "t_pkey"],
    [
      "with the column last",
      `create table t (id int, ${OWN}, primary key (id, tenant_id))`,
      "index shared.t_pkey on table shared.t",
    ],
    ["with a unique index over all", "create unique index u on notes (id)", "index shared.u on"],
    [
      "that refers across tenants",
      `create table t (${OWN}, x text, i bigint, primary key (tenant_id, i),
        foreign key (x, i) references notes (tenant_id, id))`,
      "constraint t_x_i_fkey on table shared.t",
    ],
    ["with a view", "create view v as select * from notes", "view shared.v"],
    ["with a function", "create function f() returns int return 1", "function shared.f()"],
    ["with a type", "create type e as enum ('a')", "type shared.e"],
    ["with a rule", "create rule r as on delete to notes do instead nothing", "table shared.notes"],
    [
      "with a trigger",
      `create trigger t before update on notes for each row
        execute function suppress_redundant_updates_trigger()`,
      "table shared.notes",
    ],
    [
      "with partitions",
      `create table t (${OWN}, i int, primary key (tenant_id, i)) partition by list (tenant_id)`,
      "table shared.t",
    ],
    ["with a child", "create table t () inherits (notes)", "table shared.notes"],
    ["with a large object", "select pg_catalog.lo_create(4711)", "function lo_create"],
    ["with statistics", "create statistics s on title, secret from notes", "shared.s"],
    ["with a grant", "grant truncate on notes to public", "rights of shared.notes"],
    ["with a grant on a column", "grant select (title) on notes to public", "leave out GRANT"],
    ["that takes a grant back", "revoke select on notes from aerodb_tenants", "shared.notes"],
    ["with default privileges", "alter default privileges grant select on tables to public", ""],
  ])("%s is refused", async (_, sql, says) => {
    const refusal = await refusalOf(sql);
    expect(refusal?.sentence).toMatch(says);
  });

  test("says where it is wrong", async () => {
    const wrong = await refusalOf("-- Ünïcode\n\ncreate table t (\n  x no_such_type);");
    expect(wrong).toMatchObject({ sqlState: "42704", line: 4 });
    expect(await refusalOf("create table notes (i int)")).toMatchObject({ sqlState: "42P07" });
  });

  test.each([
    ["set role", "set role aerodb_root"],
    ["reset role", "reset role; create role stranger superuser"],
    ["session authorization", "set session authorization aerodb_root"],
    ["a setting", "select set_config('role', 'aerodb_root', false)"],
    ["a block", "do $$ begin perform set_config('session_authorization', 'x', false); end $$"],
    ["a tenant's schema", "create table ten_00000000000000000000000001.t (i int)"],
    ["the platform's schema", "create table aerodb.t (i int)"],
    ["a temporary table", "create temporary table t (i int)"],
    ["a file", "select pg_read_file('PG_VERSION')"],
    ["an end of the transaction", "commit; create role stranger"],
    ["a role", "create role stranger"],
  ])("cannot get out by %s", async (_, sql) => {
    expect((await refusalOf(sql))?.sentence).toBeDefined();
    expect(await exists("pg_roles where rolname = 'stranger'")).toBe(false);
    expect((await walled.root.query("select current_user as who")).rows).toEqual([
      { who: "aerodb_root" },
    ]);
  });

  test("that leaves a cursor open runs nothing of it as the superuser", async () => {
    const drawn = "select pg_catalog.nextval('shared.drawn')";
    const sql = `create sequence drawn; declare c cursor with hold for ${drawn}`;
    const changes = [FIRST, { number: 2, name: "cursor.sql", sql }];
    expect(await applySharedTables(walled.root, changes)).toBe(2);
    expect(await exists("pg_class where (select is_called from shared.drawn)")).toBe(false);
    await walled.root.query("drop sequence shared.drawn");
    await walled.root.query("delete from aerodb.shared_table_changes where number = 2");
  });

  test("leaves no setting behind in the session", async () => {
    const sql = `set search_path = shared; set standard_conforming_strings = off;
      set statement_timeout = '1h'; prepare p as select 1; select pg_advisory_lock(7);
      listen changes`;
    expect(await refusalOf(sql)).toBeUndefined();
    const { rows } = await walled.root.query(
      `select current_setting('search_path') as path, current_setting('statement_timeout') as ms,
        (select count(*)::int from pg_catalog.pg_prepared_statements) as prepared,
        (select count(*)::int from pg_catalog.pg_locks where locktype = 'advisory') as locks`,
    );
    expect(rows).toEqual([{ path: "pg_catalog,pg_temp", ms: "30s", prepared: 0, locks: 0 }]);
  });

  test("reaches all rows, and its foreign keys are checked", async () => {
    const backfill = `alter table notes add column kind text;
      update notes set kind = 'note';
      alter table notes alter column kind set not null`;
    expect(await refusalOf(backfill)).toBeUndefined();
    const broken = `create table t (tenant_id text, i bigint, primary key (tenant_id, i));
      insert into t select tenant_id, -1 from notes limit 1;
      alter table t add foreign key (tenant_id, i) references notes (tenant_id, id)`;
    expect(await refusalOf(broken)).toMatchObject({ sqlState: "23503" });
  });

  test("is applied once, in order, and by whoever is first", async () => {
    const changes = CHANGES.slice(0, 3);
    const second = await connectPlatform({ ...walled.server.settings, password: ROOT_PASSWORD });
    const both = [walled.root, second].map((client) => applySharedTables(client, changes));
    expect(await Promise.all(both)).toEqual([3, 3]);
    await second.end();
    expect(await applySharedTables(walled.root, changes)).toBe(3);
    expect((await inside.query("select c from shared.notes")).rowCount).toBe(1);
    const othersThen = [FIRST, { ...changes[1], sql: "select 1" } as SharedTableChange];
    await expect(applySharedTables(walled.root, othersThen)).rejects.toThrow('has "b.sql"');
    const gap = trySharedTables(walled.root, { number: 9, name: "z.sql", sql: "select 1" });
    await expect(gap).rejects.toThrow("try again in a moment");
  });
});

test("what the platform added is put back", async () => {
  await walled.root.query(
    `alter table shared.notes no force row level security;
     drop policy aerodb_tenant on shared.notes;
     create policy wide on shared.notes using (true);
     alter table shared.parts disable row level security;
     grant truncate on shared.notes to aerodb_tenants;
     grant select (title) on shared.notes to public;
     grant all on sequence shared.parts_part_seq to public;
     alter table shared.notes alter column secret set statistics 100;
     alter table shared.notes alter column title set statistics -1;
     alter table shared.parts alter column tenant_id drop default`,
  );
  expect(await broken()).toEqual([
    "instance.shared_tables",
    "shared_tables.tenant_id",
    "shared_tables.policy",
    "shared_tables.grants",
    "shared_tables.statistics",
  ]);
  await mendSharedTables(walled.root);
  expect(await broken()).toEqual([]);
  // What the operator chose stays.
  const chosen = "pg_attribute where attstattarget = 100";
  expect(await exists(chosen)).toBe(true);
});

test("a tenant that is dropped leaves no row behind, and its neighbours keep theirs", async () => {
  const count = async (tenant: ThrowawayTenant): Promise<number> => {
    const { rows } = await walled.root.query(
      `select (select count(*) from shared.notes where tenant_id = $1)::int
        + (select count(*) from shared.parts where tenant_id = $1)::int as n`,
      [tenant.tenantId],
    );
    return rows[0].n;
  };
  const gone = await walled.newTenant();
  const client = await gone.connect();
  await client.query(
    `insert into shared.notes (title) select i::text from generate_series(1, 12000) i;
     insert into shared.parts (note) select id from shared.notes`,
  );
  await client.end();
  // What only looks like a shared table is left alone.
  await walled.root.query(
    `create table shared.planted (tenant_id text);
     insert into shared.planted values ('${gone.tenantId}')`,
  );
  const before = await count(one);
  expect(await count(gone)).toBe(24_000);
  await dropTenant(walled.root, gone.tenantId);
  expect([await count(gone), await count(one)]).toEqual([0, before]);
  expect((await walled.root.query("select from shared.planted")).rowCount).toBe(1);
  await walled.root.query("drop table shared.planted");
});

test("a change may drop everything, and what changes stand on stays", async () => {
  expect(await applySharedTables(walled.root, CHANGES)).toBe(5);
  expect(await broken()).toEqual([]);
  await inside.query("insert into shared.anew default values");
  expect((await inside.query("select from shared.anew")).rowCount).toBe(1);
});
