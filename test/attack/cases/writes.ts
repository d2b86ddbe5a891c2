/** A tenant whose storage quota is used up tries to store more, by every way there is. */
import {
  connectPool,
  dropTenant,
  ensureTenant,
  pooledRequest,
  poolPassword,
} from "@aerodb/postgres";
import type pg from "pg";
import { ROOT_PASSWORD } from "../../../packages/postgres/src/throwaway-instance.ts";
import type {
  ThrowawayTenant,
  WalledServer,
} from "../../../packages/postgres/src/throwaway-tenant.ts";
import { BOTH, DENIED, type Entry, family, type Scene } from "../attack-case.ts";
import { codeOf, inNewSession, outcomeOf } from "../attempt.ts";

const FULL = "53100";

/** What it held when its writes were refused. */
const HELD = `
  create table t (i int primary key, x text); insert into t values (1, 'a'), (2, 'b');
  create table whole (i int, x text) partition by list (i);
  create table part partition of whole for values in (1);
  create table loose (i int, x text); insert into loose values (2, 'a');
  create table child () inherits (t); insert into child values (3, 'c');
  create unlogged table fleeting (i int);
  create table parent (i int primary key); insert into parent values (1);
  create table moved (i int references parent on update cascade);
  create table nulled (i int references parent on delete set null); insert into nulled values (1);
  create table ruled (i int); insert into ruled values (1);
  create rule writes as on delete to ruled do instead insert into fleeting values (1);
  create table fired (i int); insert into fired values (1);
  create function fires() returns trigger language plpgsql as
    $$ begin insert into fleeting values (1); return old; end $$;
  create trigger fires before delete on fired for each row execute function fires();
  create table wide (i int) with (fillfactor = 50); insert into wide values (1);
  alter table wide add column more int default 1;
  create view v as select * from t;
  create materialized view kept as select * from t;
  create function adds() returns void language sql as 'insert into t values (9)';
  select lo_from_bytea(0, 'a') as id`;

interface Full {
  readonly tenant: ThrowawayTenant;
  readonly client: pg.Client;
  readonly largeObject: string;
}

/** One in each server; what is tried there is undone. */
const full = new WeakMap<WalledServer, Promise<Full>>();

function fullTenant({ walled }: Scene): Promise<Full> {
  const there = full.get(walled) ?? fill(walled);
  full.set(walled, there);
  return there;
}

/** Before it is looked at who is in a server: one of one tenant should hold no other. */
export async function dropFullTenant({ walled }: Scene): Promise<void> {
  const there = await full.get(walled);
  if (there === undefined) return;
  full.delete(walled);
  await there.client.end();
  await dropTenant(walled.root, there.tenant.tenantId);
}

async function fill(walled: WalledServer): Promise<Full> {
  const tenant = await walled.newTenant();
  const before = await tenant.connect();
  const results: unknown = await before.query(HELD);
  const { rows = [] } = (results as readonly pg.QueryResult[]).at(-1) ?? {};
  await before.end();
  await ensureTenant(walled.root, { ...tenant.desired, writesRefused: true });
  return { tenant, client: await tenant.connect(), largeObject: String(rows[0].id) };
}

async function tried(scene: Scene, text: string): Promise<string> {
  const { tenant, client, largeObject } = await fullTenant(scene);
  const named = text.replaceAll("{self}", tenant.tenantId).replaceAll("{lo}", largeObject);
  try {
    return await outcomeOf(client, `begin; ${named}`);
  } finally {
    await client.query("rollback; deallocate all; reset role");
  }
}

function adds(text: string, safe: readonly string[] = [FULL]): Entry {
  return { attack: (scene) => tried(scene, text), safe };
}

function frees(text: string): Entry {
  return adds(text, ["some", "done"]);
}

async function pooled(scene: Scene): Promise<string> {
  const { tenant } = await fullTenant(scene);
  const { settings } = scene.walled.server;
  const pool = await connectPool({ ...settings, password: poolPassword(ROOT_PASSWORD) });
  try {
    const text = "insert into t values ($1::int) returning i";
    await pooledRequest(pool, tenant.tenantId, { text, values: ["9"] });
    return "done";
  } catch (error) {
    return codeOf(error);
  } finally {
    await pool.end();
  }
}

/** By the right alone, which the trigger asks for: its open session goes on. */
async function intoItsOwn(scene: Scene): Promise<string> {
  const { attacker, walled } = scene;
  await walled.root.query(`revoke create on schema ${attacker.name} from ${attacker.name}`);
  try {
    return await inNewSession(scene, "insert into t (x) values ('more')");
  } finally {
    await walled.root.query(`grant create on schema ${attacker.name} to ${attacker.name}`);
  }
}

/** Into a table that it makes just before. */
async function intoWhatItMade(scene: Scene): Promise<string> {
  await scene.client.query("create table made_before (i int)");
  const { attacker, walled } = scene;
  await walled.root.query(`revoke create on schema ${attacker.name} from ${attacker.name}`);
  try {
    return await inNewSession(scene, "insert into made_before values (1)");
  } finally {
    await walled.root.query(`grant create on schema ${attacker.name} to ${attacker.name}`);
    await scene.client.query("drop table made_before");
  }
}

const OFF = "set local transaction_read_only = off;";
const DROPPED = `do $$ begin execute (select format('drop trigger %I on t', tgname)
  from pg_trigger where tgrelid = 't'::regclass and not tgisinternal limit 1); end $$`;
const INSERT = "insert into t values (9)";

export const WRITES = family(
  "writes",
  { models: BOTH },
  {
    insert: adds(INSERT),
    insert_of_query: adds("insert into t select i from generate_series(10, 99) i"),
    update: adds("update t set x = 'long'"),
    copy: adds("copy t from stdin"),
    merge: adds(`merge into t using (select 9 as i) s on t.i = s.i
      when not matched then insert values (s.i)`),
    view: adds("insert into v values (9)"),
    within_query: adds("with w as (insert into t values (9) returning i) select * from w"),
    prepared: adds(`prepare p as ${INSERT}; execute p`),
    function: adds("select adds()"),
    block: adds(`do $$ begin ${INSERT}; exception when unique_violation then null; end $$`),
    partition: adds("insert into part values (1)"),
    partitioned: adds("insert into whole values (1)"),
    attached: adds(`alter table whole attach partition loose for values in (2);
      insert into whole values (2)`),
    detached: adds("alter table whole detach partition part; insert into part values (1)"),
    heir: adds("insert into child values (9)"),
    by_parent: adds("update t set x = 'y' where i = 3"),
    disinherited: adds("alter table child no inherit t; insert into child values (9)"),
    unlogged: adds("insert into fleeting values (1)"),
    cascade: adds("update parent set i = 2"),
    set_null: adds("delete from parent"),
    rule: adds("delete from ruled"),
    trigger: adds("delete from fired"),
    own_table: { attack: intoItsOwn, safe: [FULL] },
    made_before: { attack: intoWhatItMade, safe: [FULL] },
    pooled: { attack: pooled, safe: [FULL], models: ["schema"] },
    shared_table: {
      attack: (scene) => tried(scene, "insert into shared.notes (id, title) values (9, 'a')"),
      safe: [FULL],
      models: ["schema"],
    },

    read_only_off: adds(`${OFF} ${INSERT}`),
    read_only_off_by_default: adds(`set default_transaction_read_only = off; ${INSERT}`),
    replication_role: adds(`set local session_replication_role = replica; ${INSERT}`, [DENIED]),
    disable_trigger: adds(`alter table t disable trigger all; ${INSERT}`, [DENIED]),
    replica_trigger: adds(
      `do $$ begin execute (select format(
      'alter table t enable replica trigger %I', tgname) from pg_trigger
      where tgrelid = 't'::regclass limit 1); end $$; ${INSERT}`,
      [DENIED],
    ),
    drop_trigger: adds(`${DROPPED}; ${INSERT}`, [DENIED]),
    rename_trigger: adds(
      `do $$ begin execute (select format(
      'alter trigger %I on t rename to mine', tgname) from pg_trigger
      where tgrelid = 't'::regclass limit 1); end $$; ${INSERT}`,
      [DENIED],
    ),
    replace_function: adds(`create or replace function aerodb.refuse_write() returns trigger
      language plpgsql as 'begin return null; end'`),
    drop_function: adds("drop function aerodb.refuse_write() cascade", [DENIED]),
    grant_again: adds(`grant create on schema {self} to {self}; ${INSERT}`),
    grant_in_block: adds(`do $$ begin grant create on schema {self} to {self}; end $$`),
    join_again: adds("grant aerodb_writers to {self}", [DENIED]),
    become_writers: adds("set local role aerodb_writers", [DENIED]),
    own_role: adds(`alter role {self} set app.tenant_id = 'ten_other'; ${INSERT}`, [FULL, DENIED]),

    create_table: adds("create table u (i int)"),
    create_table_as: adds("create table u as select 1 as i"),
    select_into: adds("select 1 as i into u"),
    create_unlogged: adds("create unlogged table u (i int)"),
    create_index: adds("create index on t (x)"),
    create_materialized_view: adds("create materialized view m as select * from t"),
    refresh: adds("refresh materialized view kept"),
    rewrite: adds("alter table loose alter i type bigint"),
    default_of_rows: adds("alter table t add column more text default repeat('long', 999)"),
    default_of_parts: adds("alter table whole add column more int default 1"),
    default_in_block: adds(`do $$ begin begin alter table loose add column more int default 1;
      exception when division_by_zero then null; end; end $$`),
    emptier_pages: adds("alter table loose set (fillfactor = 10)"),
    emptier_index: adds("alter index t_pkey set (fillfactor = 10)"),
    emptier_index_as_table: adds("alter table t_pkey set (deduplicate_items = off)"),
    emptier_view: adds("alter materialized view kept set (fillfactor = 10)"),
    add_key: adds("alter table t add unique (x)", [DENIED]),
    comment: adds("comment on table t is 'very long'"),
    other_schema: adds("create table public.u (i int)"),
    new_schema: adds("create schema other"),
    explained: adds("explain analyze create table u as select 1 as i", [DENIED]),
    explained_view: adds("explain analyze create materialized view u as select 1", [DENIED]),
    temporary: adds("create temporary table u (i int)"),
    temporary_as: adds("create temporary table u as select 1 as i"),
    temporary_explained: adds("explain analyze create temporary table u as select 1", [DENIED]),
    temporary_schema: adds("create table pg_temp.u (i int)"),

    large_object: adds("select lo_create(0)", [DENIED]),
    large_object_of_bytes: adds("select lo_from_bytea(0, 'abc')", [DENIED]),
    large_object_put: adds("select lo_put({lo}, 100, 'abc')", [DENIED]),
    large_object_import: adds("select lo_import('/etc/hostname')", [DENIED]),
    large_object_write: adds("select lowrite(lo_open({lo}, 131072), 'abc')", [DENIED]),
    large_object_lengthen: adds("select lo_truncate(lo_open({lo}, 131072), 4096)", [DENIED]),

    may_read: frees("select from t"),
    may_delete: frees("delete from t"),
    may_truncate: frees("truncate t"),
    may_drop: frees("drop table t cascade"),
    may_add_empty_column: frees("alter table loose add column more text"),
    may_fill_pages: frees("alter table wide reset (fillfactor)"),
    may_drop_default: frees("alter table wide drop column more"),
    may_drop_column: frees("alter table loose drop column x"),
    may_remove_large_object: frees("select lo_unlink({lo})"),
  },
);
