/** Other roles, more rights, and settings that would make a session somebody else's. */
import {
  connectMeter,
  connectPool,
  dropTenant,
  meterPassword,
  poolPassword,
} from "@aerodb/postgres";
import { ROOT_PASSWORD } from "../../../packages/postgres/src/throwaway-instance.ts";
import { BOTH, DENIED, family, type Scene } from "../attack-case.ts";
import { filled, inNewSession, undone } from "../attempt.ts";

async function asMeter(scene: Scene, text: string): Promise<string> {
  const password = meterPassword(ROOT_PASSWORD);
  const client = await connectMeter({ ...scene.walled.server.settings, password });
  try {
    return await undone(client, filled(text, scene));
  } finally {
    await client.end();
  }
}

async function asPool(scene: Scene, text: string): Promise<string> {
  const password = poolPassword(ROOT_PASSWORD);
  const client = await connectPool({ ...scene.walled.server.settings, password });
  try {
    return await undone(client, filled(text, scene));
  } finally {
    await client.end();
  }
}

/** Sets something for its own role, logs in anew and looks who that is. */
async function afterSetting(scene: Scene, setting: string, question: string): Promise<string> {
  const role = `alter role ${scene.attacker.name}`;
  await scene.client.query(`${role} set ${setting}`);
  try {
    return await inNewSession(scene, question);
  } finally {
    await scene.client.query(`${role} reset ${setting.split(" ")[0]}`);
  }
}

/** One that owns nothing but a table and its door, without which nothing refuses to be given. */
async function givesTable({ walled }: Scene): Promise<string> {
  const { name, tenantId, connect } = await walled.newTenant();
  const client = await connect();
  try {
    return await undone(
      client,
      `create table gift (i int); drop function aerodb.${name}(text, text, text[]);
       reassign owned by ${name} to aerodb_tenants`,
    );
  } finally {
    await client.end();
    await dropTenant(walled.root, tenantId);
  }
}

/** Comes to the socket itself, past every gateway, with a password that it guessed. */
const knocking = (user: string, safe: readonly string[]) => ({
  attack: (scene: Scene) => inNewSession(scene, "select 1", { user, password: "guess" }),
  safe,
});

const joining = (role: string, since?: number) => ({
  attack: `grant ${role} to {self}`,
  models: BOTH,
  ...(since === undefined ? {} : { since }),
});

export const ROLES = family(
  "roles",
  { models: BOTH },
  {
    become_root: "set role aerodb_root",
    become_root_by_function: "select set_config('role', 'aerodb_root', false)",
    become_root_locally: "do $$ begin set local role aerodb_root; end $$",
    become_meter: "set role aerodb_meter",
    become_pool: "set role aerodb_pool",
    // Before 16 every member of a role may become it: this one may connect, and nothing else.
    become_group: { attack: "set role aerodb_tenants", since: 16 },
    become_files_reader: "set role pg_read_server_files",
    become_session_of_root: "set session authorization aerodb_root",
    become_session_by_function: "select set_config('session_authorization', 'aerodb_root', false)",
    superuser: "alter role {self} superuser",
    bypass_policies: "alter role {self} bypassrls",
    create_roles: "alter role {self} createrole",
    create_databases: "alter role {self} createdb",
    replicate: "alter role {self} replication",
    connection_limit: "alter role {self} connection limit -1",
    no_expiry: "alter role {self} valid until 'infinity'",
    rename_self: {
      attack: "alter role {self} rename to aerodb_other",
      safe: [DENIED, "0A000"],
    },
    make_role: "create role accomplice login",
    make_superuser: "create role accomplice superuser",
    make_group_member: "create user accomplice in role aerodb_tenants",
    add_to_group: "alter group aerodb_tenants add user {self}",
    // What is refused last comes after the question whether one may at all.
    make_database: {
      attack: "create database lair template no_such_database",
      alone: true,
    },
    drop_database: { attack: "drop database aerodb", alone: true },
    lend_self: "grant {self} to aerodb_tenants",
    lend_self_with_admin: "grant {self} to aerodb_meter with admin option",
    join_group_with_admin: "grant aerodb_tenants to {self} with admin option",
    join_pool: joining("aerodb_pool"),
    join_monitor: joining("pg_monitor"),
    join_signallers: joining("pg_signal_backend"),
    join_readers_of_all: joining("pg_read_all_data"),
    join_writers_of_all: joining("pg_write_all_data"),
    join_settings_readers: joining("pg_read_all_settings"),
    join_files_readers: joining("pg_read_server_files"),
    join_files_writers: joining("pg_write_server_files"),
    join_program_runners: joining("pg_execute_server_program"),
    join_checkpointers: joining("pg_checkpoint"),
    join_subscribers: joining("pg_create_subscription", 16),
    join_reserved: joining("pg_use_reserved_connections", 16),
    join_maintainers: joining("pg_maintain", 17),
    join_autovacuum: joining("pg_signal_autovacuum_worker", 18),
    join_by_set: { attack: "grant aerodb_root to {self} with set true", since: 16 },
    revoke_others: "revoke aerodb_tenants from {self}",
    own_database: "alter database aerodb owner to {self}",
    database_search_path: "alter database aerodb set search_path = evil",
    database_role: "alter database aerodb set role = '{self}'",
    database_timeout: "alter database aerodb set statement_timeout = '1ms'",
    database_read_only: "alter database aerodb set default_transaction_read_only = on",
    database_rename: { attack: "alter database aerodb rename to mine", alone: true },
    database_grant: {
      attack: `grant all on database aerodb to public;
        select from pg_database d, aclexplode(d.datacl) e where e.grantee = 0`,
      safe: [DENIED, "none"],
    },
    settings_of_all: "alter role all set work_mem = '1GB'",
    settings_of_group: "alter role aerodb_tenants set work_mem = '1GB'",
    settings_of_root: "alter role aerodb_root set search_path = evil",
    settings_of_meter: "alter role aerodb_meter set search_path = evil",
    password_of_root: "alter role aerodb_root password 'stolen'",
    preload_session: "alter role {self} set session_preload_libraries = 'evil'",
    grant_parameter: "grant set on parameter log_statement to {self}",
    verifiers: "select rolpassword from pg_authid",
    shadow: "select passwd from pg_shadow",
    user_mappings: "select umoptions from pg_user_mapping",
    // Named, not obeyed: who may not become a role does not log in as it.
    role_by_setting: {
      attack: (scene) =>
        afterSetting(scene, "role = 'aerodb_root'", "select where current_user <> session_user"),
      safe: ["none", DENIED, "22023"],
    },
    session_by_setting: {
      attack: (scene) =>
        afterSetting(
          scene,
          "session_authorization = 'aerodb_root'",
          "select where session_user = 'aerodb_root'",
        ),
      safe: ["none", DENIED, "22023", "55P02"],
    },
    library_by_setting: {
      attack: (scene) => afterSetting(scene, "local_preload_libraries = 'evil'", "select 1"),
      safe: ["58P01"],
    },
    login_as_root: knocking("aerodb_root", ["28P01"]),
    login_as_meter: knocking("aerodb_meter", ["28P01"]),
    login_as_pool: knocking("aerodb_pool", ["28P01"]),
    login_as_group: knocking("aerodb_tenants", ["28P01"]),
    login_as_stranger: knocking("stranger", ["28000"]),
    login_to_template: {
      attack: (scene) => inNewSession(scene, "select 1", { database: "template1" }),
      safe: ["28000"],
    },
    cancel_meter: async (scene) => {
      const password = meterPassword(ROOT_PASSWORD);
      const meter = await connectMeter({ ...scene.walled.server.settings, password });
      const { rows } = await meter.query("select pg_catalog.pg_backend_pid() as pid");
      const outcome = await undone(scene.client, `select pg_cancel_backend(${rows[0].pid})`);
      await meter.end();
      return outcome;
    },
    row_security_by_default: {
      attack: (scene) => inNewSession(scene, "select where current_setting('row_security') = 'on'"),
      safe: ["some"],
    },
    triggers_by_default: {
      attack: (scene) =>
        inNewSession(scene, "select where current_setting('session_replication_role') = 'origin'"),
      safe: ["some"],
    },
    meter_becomes_tenant: (scene) => asMeter(scene, "set role {self}"),
    meter_reads_rows: (scene) => asMeter(scene, "select * from {self}.t"),
    meter_creates: (scene) => asMeter(scene, "create table public.planted (i int)"),
  },
);

const SCHEMA = "select oid from pg_namespace where nspname = '{neighbour}'";
const DOOR = "select oid from pg_proc where proname = '{neighbour}'";
const TABLE = `select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = '{neighbour}' and c.relname = 't'`;

/** What names an object by its number, which takes no right on it, and would keep it from going. */
function pinned(found: string, statement: (oid: string) => string): string {
  const made = statement("%L").replaceAll("'", "''");
  return `do $$ begin execute format('${made}', (${found})); end $$`;
}

export const NEIGHBOURS = family(
  "neighbours",
  {},
  {
    become: "set role {neighbour}",
    become_by_function: "select set_config('role', '{neighbour}', false)",
    become_session: "set session authorization {neighbour}",
    password: "alter role {neighbour} password 'stolen'",
    no_login: "alter role {neighbour} nologin",
    settings: "alter role {neighbour} set search_path = {self}",
    settings_in_database: "alter role {neighbour} in database aerodb set app.tenant_id = '{self}'",
    rename: "alter role {neighbour} rename to mine",
    drop: "drop role {neighbour}",
    join: "grant {neighbour} to {self}",
    lend_self: "grant {self} to {neighbour} with admin option",
    reassign: "reassign owned by {neighbour} to {self}",
    give: "reassign owned by {self} to {neighbour}",
    give_to_group: { attack: "reassign owned by {self} to aerodb_tenants", models: BOTH },
    give_to_group_without_door: givesTable,
    drop_door: "drop function aerodb.{self}(text, text, text[])",
    drop_door_with_all: "drop owned by {self}",
    give_table: "alter table {self}.t owner to {neighbour}",
    give_function: "alter function {self}.f() owner to {neighbour}",
    drop_owned: "drop owned by {neighbour}",
    default_privileges: `alter default privileges for role {neighbour}
      grant select on tables to {self}`,
    default_privileges_of_all: `alter default privileges for role aerodb_tenants
      grant all on tables to public`,
    default_privileges_of_all_revoked: `alter default privileges for role aerodb_tenants
      revoke all on functions from public`,
    default_privileges_in_schema: `alter default privileges in schema {neighbour}
      grant select on tables to {self}`,
    default_privileges_in_shared: `alter default privileges in schema aerodb
      grant select on tables to {self}`,
    row_type: "create table given (i int); grant usage on type given to {neighbour}",
    row_type_of_view: `create view given as select 1 as i;
      grant usage on type given to aerodb_tenants`,
    row_type_of_temporary: `create temporary table given (i int);
      grant usage on type pg_temp.given to {neighbour}`,
    pinned_schema: pinned(SCHEMA, (oid) => `create view pins as select ${oid}::regnamespace`),
    pinned_door: pinned(DOOR, (oid) => `create view pins as select ${oid}::regprocedure`),
    pinned_table: pinned(TABLE, (oid) => `create view pins as select ${oid}::regclass`),
    pinned_by_default: pinned(TABLE, (oid) => {
      return `create table pins (x regclass default ${oid}::regclass)`;
    }),
    pinned_by_default_later: pinned(TABLE, (oid) => {
      return `alter table t add column pins regclass default ${oid}::regclass`;
    }),
    pinned_by_function: pinned(TABLE, (oid) => {
      return `create function pins() returns regclass return ${oid}::regclass`;
    }),
    pinned_by_temporary_view: pinned(TABLE, (oid) => {
      return `create temporary view pins as select ${oid}::regclass`;
    }),
    pinned_by_materialized_view: pinned(TABLE, (oid) => {
      return `create materialized view pins as select ${oid}::regclass`;
    }),
    make_schema: "create schema lair",
    make_schema_with_elements: "create schema lair create table planted (i int)",
    terminate: {
      attack: async ({ client, victim }) => {
        const session = await victim.connect();
        const { rows } = await session.query("select pg_backend_pid() as pid");
        const outcome = await undone(client, `select pg_terminate_backend(${rows[0].pid})`);
        await session.end().catch(() => undefined);
        return outcome;
      },
    },
    cancel: "select pg_cancel_backend({pid})",
    log_memory: "select pg_log_backend_memory_contexts({pid})",
    queries: {
      attack: "select from pg_stat_activity where pid = {pid} and query not like '<insuff%'",
      safe: ["none"],
    },
    client_addresses: {
      attack: `select from pg_stat_activity where usename = '{neighbour}'
        and (client_addr is not null or backend_start is not null or wait_event is not null)`,
      safe: ["none"],
    },
    locks: "select * from pg_locks",
    prepared: "select * from pg_prepared_xacts",
    cursors: { attack: "select * from pg_cursors", safe: ["none"] },
    progress: {
      attack: "select from pg_stat_progress_vacuum where relid is not null",
      safe: ["none"],
    },
    pool_is_nobody: (scene) => asPool(scene, "select * from {self}.t"),
    pool_becomes_tenant: (scene) => asPool(scene, "set role {self}"),
    pool_guesses_key: (scene) => asPool(scene, "select aerodb.{self}('guess', 'select 1', '{}')"),
    door: "select aerodb.{neighbour}('guess', 'select x from t', '{}')",
    open_door: "grant execute on function aerodb.{self}(text, text, text[]) to {neighbour}",
    replace_door: `create or replace function aerodb.{self}(text, text, text[])
      returns setof jsonb language sql as 'select null::jsonb'`,
  },
);
