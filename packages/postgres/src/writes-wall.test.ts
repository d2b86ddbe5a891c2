import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { proveIsolation } from "./isolation/isolation-proof.ts";
import { holds } from "./isolation/rule.ts";
import { takeBackFromGroups } from "./isolation/taking-back.ts";
import { dropTenant } from "./tenant-drop.ts";
import { ensureTenant, isAsDesired, listTenants } from "./tenant-role.ts";
import {
  outcomeOf,
  type ThrowawayTenant,
  type WalledServer,
  walledServer,
} from "./throwaway-tenant.ts";
import { ensureWalls } from "./walls.ts";

const FULL = /^53100 .* is refused: the storage quota or spend cap of .* is used up Delete or/;
const DENIED = /^42501 permission denied (for (schema|function)|to create temporary tables)/;
const KEPT = /^42501 the platform keeps the trigger on \S+ that refuses writes over quota/;

describe.each([
  { model: "schema", shared: true },
  { model: "database", shared: false },
])("in the model $model", ({ shared }) => {
  let walled: WalledServer;
  let tenant: ThrowawayTenant;
  let client: Client;
  beforeAll(async () => {
    walled = await walledServer({ shared, forced: false });
  });
  afterAll(() => walled.remove());
  beforeEach(async () => {
    tenant = await walled.newTenant();
    client = await tenant.connect();
    await client.query(HOLDINGS);
    return async () => {
      await client.end();
      await dropTenant(walled.root, tenant.tenantId);
    };
  });

  /** On 15, where a session may act as the group that writes, none goes on. */
  async function setRefused(writesRefused: boolean): Promise<void> {
    await ensureTenant(walled.root, { ...tenant.desired, writesRefused });
    if ((await outcomeOf(client, "select 1").catch(() => "ended")) === "done") return;
    client = await tenant.connect();
  }

  async function guards(): Promise<readonly string[]> {
    const { rows } = await client.query<{ readonly name: string }>(
      `select quote_ident(tgname) as name from pg_trigger
        where tgrelid = 't'::regclass and tgname like 'aerodb_writes%'`,
    );
    return rows.map(({ name }) => name);
  }

  async function listed() {
    const found = (await listTenants(walled.root)).find(
      ({ tenantId }) => tenantId === tenant.tenantId,
    );
    if (found === undefined) throw new Error("not listed");
    return found;
  }

  /** The statements, and beside those that do not come to what is expected what they come to. */
  async function outcomes(statements: readonly string[], expected: RegExp): Promise<string[]> {
    const said: string[] = [];
    for (const statement of statements) {
      const outcome = await outcomeOf(client, statement);
      said.push(expected.test(outcome) ? statement : `${statement}: ${outcome}`);
    }
    return said;
  }

  test("what adds is refused, what reads or frees is not, and after that all is as before", async () => {
    await setRefused(true);
    expect(await listed()).toMatchObject({ writesRefused: true, granted: true, lacks: [] });
    expect(isAsDesired(await listed(), { ...tenant.desired, writesRefused: true })).toBe(true);
    expect(isAsDesired(await listed(), tenant.desired)).toBe(false);
    expect(await outcomes(ADDING, FULL)).toEqual(ADDING);
    expect(await outcomes(DENYING, DENIED)).toEqual(DENYING);
    expect(await outcomes(FREEING, /^done$/)).toEqual(FREEING);
    await setRefused(false);
    expect(await listed()).toMatchObject({ writesRefused: false, granted: true, lacks: [] });
    expect(await outcomes(AGAIN, /^done$/)).toEqual(AGAIN);
  });

  test("who began before finds its next statement refused", async () => {
    const major = walled.server.settings.engine.major;
    const sessions = await Promise.all(EARLIER.map(() => tenant.connect()));
    for (const [index, statement] of EARLIER.entries()) {
      const warm = "prepare adding as insert into t values (50); begin; execute adding; rollback";
      for (const each of [warm, ...statement.split("; ")]) await sessions[index]?.query(each);
    }
    await setRefused(true);
    for (const [index, session] of sessions.entries()) {
      const outcome = await outcomeOf(session, "execute adding").catch(() => "ended");
      const safe = major < 16 ? /^ended$/ : /^ended$|^53100 /;
      expect([EARLIER[index], outcome]).toEqual([EARLIER[index], expect.stringMatching(safe)]);
      await session.end();
    }
    expect(await listed()).toMatchObject({ earlierWriters: 0 });
    expect(await outcomes(["select from t where i = 50"], /^done$/)).toHaveLength(1);
    expect((await client.query("select from t where i = 50")).rowCount).toBe(0);
  });

  test("what is being written is ended after a moment, and a temporary table at once with it", async () => {
    const [busy, passing] = [await tenant.connect(), await tenant.connect()];
    const adding = outcomeOf(busy, "insert into t select generate_series(1000, 900000000)");
    await passing.query("create temporary table passing (i int)");
    await setRefused(true);
    expect(await adding.catch(() => "ended")).toMatch(/ended|^57P01/);
    const more = "insert into passing select generate_series(1, 1000)";
    expect(await outcomeOf(passing, more).catch(() => "ended")).toMatch(/ended|^57P01/);
    await Promise.all([busy.end(), passing.end()]);
    await setRefused(false);
  });

  test("the trigger of a table is not to be taken away, changed or renamed", async () => {
    const [guard = ""] = await guards();
    const tried = [
      `alter table t disable trigger ${guard}`,
      "alter table t disable trigger all",
      "alter table t disable trigger user",
      `alter table t enable replica trigger ${guard}`,
      `do $$ begin execute 'alter table t disable trigger all'; end $$`,
      `drop trigger ${guard} on t`,
      `drop trigger ${guard} on t cascade`,
      `alter trigger ${guard} on t rename to mine`,
    ];
    expect(await outcomes(tried, KEPT)).toEqual(tried);
    const other = "execute function suppress_redundant_updates_trigger()";
    await outcomeOf(client, `create or replace trigger ${guard} before update on t ${other}`);
    await outcomeOf(
      client,
      `create or replace trigger ${guard} after insert on t
      execute function aerodb.refuse_write()`,
    );
    expect(await guards()).toHaveLength(1);
    await setRefused(true);
    expect(await outcomeOf(client, "insert into t values (10)")).toMatch(FULL);
    expect(await outcomes(tried, KEPT)).toHaveLength(tried.length);
    expect(await outcomeOf(client, "insert into t values (10)")).toMatch(FULL);
    await setRefused(false);
  });

  test("no table becomes a group's, where it would have no trigger", async () => {
    const reassign = "reassign owned by current_user to aerodb_tenants";
    await client.query("drop function adds(); select lo_unlink(7)");
    const reassigned = await outcomeOf(client, reassign);
    expect(reassigned === "done").toBe(!shared);
    if (shared) return;
    const [guard] = await guards();
    expect(await outcomeOf(client, `drop trigger ${guard} on t`)).toMatch(KEPT);
    await takeBackFromGroups(walled.root, tenant.tenantId);
    expect(await ensureWalls(walled.root, { shared, forced: false })).toBe(0);
    const [proof] = await proveIsolation(walled.root, { shared, forced: false }, [
      { tenantId: tenant.tenantId, connectionLimit: 10 },
    ]);
    expect(proof?.rules.filter((rule) => !holds(rule))).toEqual([]);
    await client.query("create schema own; grant all on schema own to aerodb_tenants");
    await client.query("create table own.t (i int)");
    const given = await outcomeOf(client, "alter table own.t owner to aerodb_tenants");
    expect(given).toMatch(
      /^42501 (own.t cannot belong to aerodb_tenants|must be able to SET ROLE)/,
    );
    const made = "set role aerodb_tenants; create table own.u (i int)";
    expect(await outcomeOf(client, made)).toMatch(/^42501 (own.u cannot belong|permission denied)/);
    await client.query("reset role");
  });

  test("what a dump says of it comes on top, and goes again", async () => {
    const before = await guards();
    await client.query(
      `create trigger aerodb_writes_dumped before insert or update on t for each statement
         when (not has_schema_privilege('ten_99999999999999999999999999'::name, 'x'::text,
           'CREATE'))
         execute function aerodb.refuse_write();
       create trigger aerodb_writes_same before insert or update on t for each statement
         when (not has_schema_privilege('${tenant.tenantId}'::name, '${tenant.tenantId}'::text,
           'CREATE'::text))
         execute function aerodb.refuse_write()`,
    );
    expect(await guards()).toHaveLength(1);
    expect(before).toHaveLength(1);
    await client.query("insert into t values (11)");
  });

  test("tables that have none are given theirs, also while writes are refused", async () => {
    await client.query("explain analyze create table sly as select 1 as i");
    const [guard] = await guards();
    await walled.root.query(`drop trigger ${guard} on ${tenant.name}.t`);
    await setRefused(true);
    expect(await ensureWalls(walled.root, { shared, forced: false })).toBe(0);
    expect(await guards()).toHaveLength(1);
    expect(await outcomeOf(client, "insert into sly values (1)")).toMatch(FULL);
    await setRefused(false);
  });

  test("rights that somebody gave back are found, and taken again", async () => {
    await setRefused(true);
    const desired = { ...tenant.desired, writesRefused: true };
    const given = [
      `grant create on schema ${tenant.name} to ${tenant.name}`,
      `grant aerodb_writers to ${tenant.name}`,
      ...(shared ? [] : [`grant create on database aerodb to ${tenant.name}`]),
    ];
    for (const statement of given) {
      await walled.root.query(statement);
      expect([statement, isAsDesired(await listed(), desired)]).toEqual([statement, false]);
      await setRefused(true);
      expect(isAsDesired(await listed(), desired)).toBe(true);
    }
    await setRefused(false);
  });

  test.skipIf(shared)("schemas of its own are closed with the rest, and opened again", async () => {
    await client.query("create schema own; create table own.t (i int)");
    await client.query("create table public.p (i int)");
    await setRefused(true);
    for (const statement of ["insert into own.t values (1)", "insert into public.p values (1)"]) {
      expect(await outcomeOf(client, statement)).toMatch(FULL);
    }
    const sly = "explain analyze create table own.sly as select 1";
    expect(await outcomeOf(client, sly)).toMatch(DENIED);
    const grant = "grant create on schema own to current_user";
    expect(await outcomeOf(client, grant)).toMatch(FULL);
    expect(await outcomeOf(client, `do $$ begin execute '${grant}'; end $$`)).toMatch(FULL);
    expect(await outcomeOf(client, sly)).toMatch(DENIED);
    await setRefused(false);
    await client.query("create table own.u (i int); create table public.q (i int)");
  });

  test.skipIf(shared)("a right that came by way of PUBLIC or a group is taken too", async () => {
    await client.query("create schema own; grant create on schema own to public");
    await client.query("create schema other; grant create on schema other to aerodb_tenants");
    await setRefused(true);
    for (const schema of ["own", "other"]) {
      const sly = `explain analyze create table ${schema}.sly as select 1`;
      expect(await outcomeOf(client, sly)).toMatch(DENIED);
    }
    expect(await listed()).toMatchObject({ writesRefused: true, granted: true, lacks: [] });
    await setRefused(false);
    await client.query("create table own.u (i int); create table other.u (i int)");
  });
});

/** What a session may have done before, with a statement prepared that adds. */
const EARLIER = [
  "select 1",
  "begin",
  "begin isolation level repeatable read; select count(*) from t",
  "begin; insert into t values (60)",
  "begin; lock table t in row exclusive mode; savepoint a",
  "begin isolation level serializable; lock table t in row exclusive mode; select from pg_trigger",
  "begin; create temporary table passing (i int)",
  "create table before (i int); begin; insert into before values (1)",
  "set session characteristics as transaction read write",
];

const HOLDINGS = `
  create table t (i int primary key, x text);
  insert into t select i, 'x' from generate_series(1, 9) i;
  create table big as select i from generate_series(1, 100) i;
  create table whole (i int, x text) partition by list (i);
  create table one partition of whole for values in (1);
  create table loose (i int, x text);
  create table child () inherits (t);
  create unlogged table volatile (i int);
  create table parent (i int primary key); insert into parent values (1);
  create table follower (i int references parent on update cascade on delete cascade);
  insert into follower values (1);
  create rule logs as on delete to loose do also insert into big values (1);
  insert into loose values (1, 'a');
  create view v as select * from t;
  create materialized view kept as select * from t;
  create function adds() returns void language sql as 'insert into t values (100)';
  create sequence s;
  select lo_from_bytea(7, 'a')`;
const ADDING = [
  "insert into t values (10)",
  "insert into t select 10",
  "insert into v values (10)",
  "with w as (insert into t values (10) returning i) select * from w",
  "update t set x = 'y'",
  "update t set x = 'y' where false",
  "insert into whole values (1)",
  "insert into one values (1)",
  "insert into child values (10)",
  "insert into volatile values (10)",
  "update parent set i = 2",
  "delete from loose",
  "select adds()",
  "do $$ begin insert into t values (10); end $$",
  "set transaction_read_only = off; insert into t values (10)",
  "set default_transaction_read_only = off; insert into t values (10)",
  "begin read write; insert into t values (10)",
  "rollback; copy t from stdin",
  "create table u (i int)",
  "create unlogged table u (i int)",
  "create temporary table u (i int)",
  "create table u as select 1",
  "select 1 as i into u",
  "create temporary table u as select 1",
  "create index on t (x)",
  "create materialized view m as select 1",
  "refresh materialized view kept",
  "alter table volatile alter i type bigint",
  "alter table t add y text default gen_random_uuid()::text",
  "alter table volatile set logged",
  "comment on table t is 'long'",
  "create view w as select 1",
  "create function f() returns int language sql as 'select 1'",
  "grant select on t to current_user",
  "create table u partition of whole for values in (2)",
];
const DENYING = [
  "explain analyze create table sly as select 1",
  "explain analyze create temporary table sly as select 1",
  "explain analyze create materialized view sly as select 1",
  "explain analyze select 1 as i into sly",
  "alter table t add unique (x)",
  "select lo_create(0)",
  "select lo_from_bytea(0, 'a')",
  "select lo_put(7, 0, 'long')",
  "select lowrite(0, 'a')",
  "select lo_truncate(0, 9)",
  "do $$ declare fd int := lo_open(7, 131072); begin perform lowrite(fd, 'a'); end $$",
];
const FREEING = [
  "select * from t",
  "copy t to stdout",
  "delete from t where i = 1",
  "delete from parent",
  "drop rule logs on loose",
  "delete from loose",
  "alter table whole detach partition one",
  "alter table t drop column x cascade",
  "truncate big",
  "drop materialized view if exists kept",
  "vacuum t",
  "vacuum full t",
  "cluster t using t_pkey",
  "reindex table t",
  "analyze t",
  "select lo_unlink(7)",
  "drop table child",
  "drop table volatile",
];
const AGAIN = [
  "insert into t values (10)",
  "create temporary table u (i int); insert into u values (1)",
  "create table u (i int); insert into u values (1)",
  "select lo_create(0)",
];
