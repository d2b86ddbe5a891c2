/** Forging who asks, and reading past policies of tables that many tenants may query. */
import { BOTH, DENIED, type Entry, family } from "../attack-case.ts";
import { inNewSession } from "../attempt.ts";

/** A table of the platform's canary that every tenant may query. */
const CANARY = "select * from aerodb.canary";
const forged = (sql: string): Entry => ({ attack: `${sql};${CANARY}`, safe: ["none"] });

export const IDENTITY = family(
  "identity",
  {},
  {
    untouched: { attack: CANARY, safe: ["none"] },
    set: forged("set app.tenant_id = 'aerodb_canary'"),
    set_local: forged("set local app.tenant_id = 'aerodb_canary'"),
    set_config: forged("select set_config('app.tenant_id', 'aerodb_canary', false)"),
    set_config_locally: forged("select set_config('app.tenant_id', 'aerodb_canary', true)"),
    set_in_block: forged("do $$ begin set app.tenant_id = 'aerodb_canary'; end $$"),
    set_within_statement: {
      attack: `with forged as materialized (
          select set_config('app.tenant_id', 'aerodb_canary', false) as tag)
        select * from forged, aerodb.canary`,
      safe: ["none"],
    },
    set_by_function: {
      attack: `create function forged() returns bigint language sql
          set app.tenant_id = 'aerodb_canary' as 'select count(*) from aerodb.canary';
        select where forged() > 0`,
      safe: ["none", DENIED],
    },
    set_by_row: {
      attack: `select c.* from (values (1), (2)) v,
        lateral (select set_config('app.tenant_id', 'aerodb_canary', false)) s, aerodb.canary c`,
      safe: ["none"],
    },
    reset: forged("reset app.tenant_id"),
    empty: forged("set app.tenant_id = ''"),
    wildcard: forged("set app.tenant_id = '%'"),
    list: forged("set app.tenant_id = 'aerodb_canary, {self}'"),
    padded: forged("set app.tenant_id = 'aerodb_canary '"),
    upper_case: forged("set app.tenant_id = 'AERODB_CANARY'"),
    quoted: forged("set app.tenant_id = $$'aerodb_canary' or true$$"),
    other_case_of_name: forged('set "APP"."TENANT_ID" = \'aerodb_canary\''),
    neighbours: {
      attack: `set app.tenant_id = '{neighbour}';
        select where aerodb.current_tenant() = '{neighbour}'`,
      safe: ["none"],
    },
    nobody_with_others_tag: {
      attack: `set app.tenant_id = '{neighbour}'; select where aerodb.current_tenant() is not null`,
      safe: ["none"],
    },
    startup_option: {
      attack: (scene) => inNewSession(scene, CANARY, { options: "-c app.tenant_id=aerodb_canary" }),
      safe: ["none"],
    },
    startup_role: {
      attack: (scene) => inNewSession(scene, CANARY, { options: "-c role=aerodb_canary" }),
      safe: [DENIED],
    },
    startup_session: {
      attack: (scene) =>
        inNewSession(scene, CANARY, { options: "-c session_authorization=aerodb_canary" }),
      safe: [DENIED, "22023", "55P02"],
    },
    role_setting: "alter role {self} set app.tenant_id = 'aerodb_canary'",
    role_setting_in_database: `alter role {self} in database aerodb
      set app.tenant_id = 'aerodb_canary'`,
    prepared_before_forging: {
      attack: `prepare p as ${CANARY}; execute p; set app.tenant_id = 'aerodb_canary'; execute p`,
      safe: ["none"],
    },
    cursor_before_forging: {
      attack: `declare c cursor for ${CANARY}; set app.tenant_id = 'aerodb_canary'; fetch c`,
      safe: ["none"],
    },
    parallel_plan: forged(
      "set parallel_setup_cost = 0; set min_parallel_table_scan_size = 0; " +
        "set app.tenant_id = 'aerodb_canary'",
    ),
    is_itself: {
      models: BOTH,
      attack: (scene) => inNewSession(scene, "select where aerodb.current_tenant() = '{self}'"),
      safe: ["some"],
    },
    sees_nothing_by_itself: {
      attack: (scene) => inNewSession(scene, CANARY),
      safe: ["none"],
    },
    shadowed_current_tenant: {
      attack: `create function current_setting(text, boolean) returns text language sql
          as $$ select 'aerodb_canary' $$;
        create function pg_temp.current_setting(text, boolean) returns text language sql
          as $$ select 'aerodb_canary' $$;
        set search_path = {self}, pg_temp, pg_catalog; ${CANARY}`,
      safe: ["none"],
    },
    shadowed_equality: {
      attack: `create function always(text, text) returns boolean language sql as 'select true';
        create operator = (leftarg = text, rightarg = text, function = always);
        set search_path = {self}, pg_catalog; ${CANARY}`,
      safe: ["none"],
    },
  },
);

const LEAK = `create function leak(int, text) returns boolean language plpgsql cost 0.0000001 as
  $$ begin insert into t (x) values ($2); return true; end $$;`;
const LEAKED = ";select from t where x = 'sung'";

export const POLICIES = family(
  "policies",
  {},
  {
    insert: "insert into aerodb.canary values (2, 'mine')",
    insert_forged: `set app.tenant_id = 'aerodb_canary';
      insert into aerodb.canary values (2, 'mine')`,
    insert_select: "insert into aerodb.canary select 3, 'mine'",
    insert_returning: "insert into aerodb.canary values (2, 'mine') returning *",
    probe_unique: "insert into aerodb.canary values (1, 'mine')",
    probe_conflict: "insert into aerodb.canary values (1, 'mine') on conflict do nothing",
    upsert: `insert into aerodb.canary values (1, 'mine')
      on conflict (id) do update set note = 'mine'`,
    update: "update aerodb.canary set note = 'mine'",
    delete: "delete from aerodb.canary",
    truncate: "truncate aerodb.canary",
    copy_in: {
      attack: "copy aerodb.canary from stdin",
      // Postgres copies into no table whose policies bind who asks.
      safe: ["0A000", DENIED],
    },
    copy_out: { attack: "copy aerodb.canary to stdout", safe: ["none"] },
    row_security_off: { attack: "set row_security = off; select * from aerodb.canary" },
    leaky_function: {
      attack: `${LEAK} select from aerodb.canary where leak(id, note)${LEAKED}`,
      safe: ["none"],
    },
    leaky_operator: {
      attack: `${LEAK} create operator ~~~ (leftarg = int, rightarg = text, function = leak);
        select from aerodb.canary where id operator({self}.~~~) note${LEAKED}`,
      safe: ["none"],
    },
    leaky_cast: {
      attack: "select from aerodb.canary where note::int = 1",
      safe: ["none"],
    },
    leaky_division: { attack: "select from aerodb.canary where 1 / (id - 1) = 1", safe: ["none"] },
    leakproof: `create function sure(text) returns boolean language sql leakproof
      as 'select true'`,
    leakproof_later: "alter function f() leakproof",
    support_function: `create function helped(int) returns boolean language sql
      support generate_series_int4_support as 'select true'`,
    own_view: {
      attack: "create view w as select * from aerodb.canary; select * from w",
      safe: ["none"],
    },
    barrier_view: {
      attack: `${LEAK} create view w with (security_barrier = off) as select * from aerodb.canary;
        select from w where leak(id, note)${LEAKED}`,
      safe: ["none"],
    },
    own_materialized_view: {
      attack: `create materialized view w as select * from aerodb.canary; select * from w`,
      safe: ["none", DENIED],
    },
    own_copy: { attack: "create table w as table aerodb.canary; select * from w", safe: ["none"] },
    join: {
      attack: "select c.* from t left join aerodb.canary c on true where c is not null",
      safe: ["none"],
    },
    aggregate: { attack: "select from aerodb.canary having count(*) > 0", safe: ["none"] },
    recursion: {
      attack: `with recursive r as (select * from aerodb.canary union select * from r)
        select * from r`,
      safe: ["none"],
    },
    sampled: { attack: "select * from aerodb.canary tablesample system (100)", safe: ["none"] },
    by_row_version: { attack: "select * from aerodb.canary where ctid = '(0,1)'", safe: ["none"] },
    for_update: { attack: "select * from aerodb.canary for update", safe: [DENIED, "none"] },
    estimates: {
      attack: "select from pg_stats where schemaname = 'aerodb' and tablename = 'canary'",
      safe: ["none"],
    },
    foreign_key: "create table prober (id int references aerodb.canary (id))",
    inherit: "create table heir () inherits (aerodb.canary)",
    like: {
      attack: "create table w (like aerodb.canary including all); select from w",
      safe: ["none"],
    },
    policy: "create policy wide on aerodb.canary using (true)",
    no_policy: "drop policy aerodb_tenant on aerodb.canary",
    no_row_security: "alter table aerodb.canary disable row level security",
    trigger: `create function spy() returns trigger language plpgsql as 'begin return new; end';
      create trigger spy before insert on aerodb.canary for each row execute function spy()`,
    rule: "create rule spy as on insert to aerodb.canary do instead nothing",
    index: "create index spy on aerodb.canary (note)",
    lock: "lock table aerodb.canary in access exclusive mode",
    as_xml: {
      attack: "select where query_to_xml('table aerodb.canary', true, true, '')::text ~ 'sung'",
      safe: ["none"],
    },
  },
);
