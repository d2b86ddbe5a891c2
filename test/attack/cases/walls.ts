/**
 * Ways around the event triggers that keep policies on tables, and ways to take away what they
 * keep: the last question of each is whether a table of the attacker stands without its policy.
 */
import { DENIED, type Entry, family, type Scene } from "../attack-case.ts";
import { inNewSession, outcomeOf } from "../attempt.ts";

/** Tables of the attacker's that no policy guards. */
const BARE = `;set local search_path = pg_catalog; set local quote_all_identifiers = off;
  select from pg_catalog.pg_class c
  where c.relnamespace = '{self}'::pg_catalog.regnamespace and c.relkind in ('r', 'p')
    and (not c.relrowsecurity or not exists (
      select from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polpermissive
        and pg_catalog.starts_with(p.polname::pg_catalog.text, 'aerodb_tenant')
        and pg_catalog.pg_get_expr(p.polqual, c.oid)
          = '(( SELECT aerodb.current_tenant() AS current_tenant) = ''{self}''::text)'))`;

/** Every table that this leaves has its policy, or it is refused. */
function guarded(sql: string): Entry {
  return { attack: `${sql}${BARE}`, safe: ["none", DENIED] };
}

/**
 * What is in an index of a tenant's runs with its rights as the table is analysed, but in a session
 * of whoever does that: an autovacuum worker is the superuser's.
 */
async function analysed({ client, walled, attacker }: Scene): Promise<string> {
  const table = `${attacker.name}.analysed`;
  await client.query(`
    create table analysed (i int);
    create function grants() returns void language plpgsql as
      $$ begin grant select on ${attacker.name}.t to public; end $$;
    create function acts(i int) returns int immutable language plpgsql as $$ begin
      if session_user <> current_user then perform ${attacker.name}.grants(); end if;
      return i; end $$;
    create index on analysed (acts(i)); insert into analysed values (1)`);
  try {
    return await outcomeOf(walled.root, `analyze ${table}`);
  } finally {
    await client.query(
      "drop table analysed; drop function grants, acts; revoke all on t from public",
    );
  }
}

const MADE = "create table made (j int)";

export const WALLS = family(
  "walls",
  {},
  {
    create_table: guarded(MADE),
    grant_as_it_is_analysed: analysed,
    create_unlogged: guarded("create unlogged table made (j int)"),
    create_as: guarded("create table made as select 1 as j"),
    create_as_execute: guarded("prepare p as select 1 as j; create table made as execute p"),
    select_into: guarded("select 1 as j into made"),
    create_like: guarded("create table made (like t including all)"),
    create_typed: guarded("create table made of y"),
    create_heir: guarded("create table made () inherits (t)"),
    create_partition: guarded("create table made partition of whole for values in (1)"),
    attach_partition: guarded(
      `create table made (i int, x text);
       alter table whole attach partition made for values in (1)`,
    ),
    detach_partition: guarded("alter table whole detach partition part"),
    create_in_block: guarded(`do $$ begin ${MADE}; end $$`),
    create_dynamically: guarded(`do $$ begin execute '${MADE}'; end $$`),
    create_in_exception: guarded(
      `do $$ begin perform 1 / 0; exception when others then execute '${MADE}'; end $$`,
    ),
    create_in_savepoint: guarded(
      `savepoint s; ${MADE}; rollback to s; ${MADE.replace("made", "again")}`,
    ),
    create_in_function: guarded(
      `create function make() returns void language sql as '${MADE}'; select make()`,
    ),
    create_in_procedure: guarded(
      `create procedure make() language plpgsql as $$ begin execute '${MADE}'; end $$; call make()`,
    ),
    create_in_trigger: guarded(
      `create function make() returns trigger language plpgsql as
         $$ begin execute '${MADE}'; return new; end $$;
       create trigger make before insert on t for each row execute function make();
       insert into t (x) values ('a')`,
    ),
    create_in_deferred_trigger: guarded(
      `create function make() returns trigger language plpgsql as
         $$ begin execute '${MADE}'; return null; end $$;
       create constraint trigger make after insert on t deferrable initially deferred
         for each row execute function make();
       insert into t (x) values ('a'); set constraints all immediate`,
    ),
    create_by_query_as_xml: guarded(
      `create function make() returns int language plpgsql as
         $$ begin execute '${MADE}'; return 1; end $$;
       select query_to_xml('select make()', true, true, '')`,
    ),
    create_by_default: guarded(
      `create function make() returns int language plpgsql as
         $$ begin execute '${MADE}'; return 1; end $$;
       alter table t add column k int default make()`,
    ),
    create_in_schema_statement: guarded("create schema if not exists {self} authorization {self}"),
    create_schema_with_table: guarded("create schema lair create table planted (i int)"),
    create_schema_for_self: guarded(
      "create schema authorization current_user create table planted (i int)",
    ),
    create_with_explain: {
      // Postgres fires no event trigger for that. Nobody but the owner has any right on it.
      attack: `explain analyze create table made as select 1 as j${BARE}`,
      safe: ["some"],
    },
    read_explained: {
      attack: `explain analyze create table made as select 1 as j;
        grant select on made to public`,
      safe: [DENIED],
    },
    move_temporary: {
      attack: `create temporary table made (j int); alter table made set schema {self}${BARE}`,
      safe: ["0A000", DENIED, "none"],
    },
    rename: guarded("alter table t rename to made"),
    type_change: guarded(`${MADE}; alter table made alter column j type bigint`),
    inherit_later: guarded(
      "create table heir (i int not null, x text); alter table heir inherit t",
    ),
    replica_identity: guarded("alter table t replica identity full"),
    shadow_format: guarded(
      `create function format(text, variadic "any") returns text language internal stable
         as 'text_format'; ${MADE}`,
    ),
    shadow_functions: guarded(
      `create function format(text) returns text language sql as 'select null::text';
       create function starts_with(text, text) returns boolean language sql as 'select false';
       create function current_setting(text) returns text language sql as $$ select 'on' $$;
       set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    shadow_in_temporary_schema: guarded(
      `create function pg_temp.current_setting(text) returns text language sql
         as $$ select 'on' $$; set search_path = pg_temp, pg_catalog, {self}; ${MADE}`,
    ),
    shadow_operator: guarded(
      `create function never(text, text) returns boolean language sql immutable as 'select false';
       create operator = (leftarg = text, rightarg = text, function = never);
       create operator <> (leftarg = text, rightarg = text, function = never);
       set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    shadow_char_operator: guarded(
      `create function never("char", "char") returns boolean language sql as 'select false';
       create operator = (leftarg = "char", rightarg = "char", function = never);
       set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    shadow_catalogue: guarded(
      `create table pg_class (oid oid); create view pg_policy as select 1 as oid;
       create view pg_namespace as select 1 as oid; set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    shadow_commands: guarded(
      `create function pg_event_trigger_ddl_commands() returns setof record language sql
         as 'select 1, 2 where false'; set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    shadow_type: guarded(
      `create domain text as pg_catalog.text check (false);
       set search_path = {self}, pg_catalog; create table made (j int)`,
    ),
    shadow_schema: guarded("create table aerodb (i int)"),
    shadow_current_tenant: guarded(
      `create function current_tenant() returns text language sql return 'other';
       set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    collation: guarded(
      `create collation "default" from "C"; set search_path = {self}, pg_catalog; ${MADE}`,
    ),
    quoted_identifiers: guarded(`set quote_all_identifiers = on; ${MADE}`),
    nonstandard_strings: guarded(`set standard_conforming_strings = off; ${MADE}`),
    null_equals: guarded(`set transform_null_equals = on; ${MADE}`),
    no_array_nulls: guarded(`set array_nulls = off; ${MADE}`),
    extra_errors: guarded(`set plpgsql.extra_errors = 'all'; ${MADE}`),
    other_encoding: guarded(`set client_encoding = 'SJIS'; ${MADE}`),
    row_security_setting: guarded(`set row_security = off; ${MADE}`),
    other_tag: guarded(`set app.tenant_id = '{self}x'; ${MADE}`),
    no_tag: guarded(`set app.tenant_id = ''; ${MADE}`),
    no_search_path: guarded("set search_path = ''; create table {self}.made (j int)"),
    check_bodies_off: guarded(`set check_function_bodies = off; ${MADE}`),
    hostile_name: guarded(`create table "x""; drop table t; --%I %s %%" (j int)`),
    hostile_column: guarded(`create table made ("') or true --" int)`),
    long_name: guarded(`create table ${"a".repeat(64)}made (j int)`),
    reserved_name: guarded(`create table "select" (j int)`),
    newline_name: guarded('create table "a\nb$wall$" (j int)'),
    homoglyph_schema: {
      // Cyrillic letters that look like those of a name.
      attack: 'create schema "t\u0435n_00000000000000000000000001"',
    },
    new_session: {
      attack: (scene) => inNewSession(scene, `${MADE}${BARE}`),
      safe: ["none"],
    },
    new_session_as_standby: {
      attack: (scene) =>
        inNewSession(scene, `${MADE}${BARE}`, { options: "-c session_replication_role=replica" }),
      safe: [DENIED],
    },

    row_security_off: "alter table t disable row level security",
    row_security_off_among_others: "alter table t disable row level security, add column k int",
    row_security_off_in_block:
      "do $$ begin execute 'alter table t disable row level security'; end $$",
    row_security_off_only: "alter table only t disable row level security",
    row_security_off_of_partition: "alter table part disable row level security",
    row_security_off_of_new: `${MADE}; alter table made disable row level security`,
    row_security_off_quoted:
      "set quote_all_identifiers = on; alter table t disable row level security",
    drop_policy: `do $$ begin execute (select format('drop policy %I on t', polname)
      from pg_policy where polrelid = 't'::regclass); end $$`,
    drop_policy_if_exists: `do $$ begin execute (select format('drop policy if exists %I on t',
      polname) from pg_policy where polrelid = 't'::regclass); end $$`,
    widen_policy: `do $$ begin execute (select format('alter policy %I on t using (true)',
      polname) from pg_policy where polrelid = 't'::regclass); end $$`,
    widen_policy_for_writes: `do $$ begin execute (select
      format('alter policy %I on t with check (true)', polname)
      from pg_policy where polrelid = 't'::regclass); end $$`,
    turn_policy: `do $$ begin execute (select format('alter policy %I on t to current_user',
      polname) from pg_policy where polrelid = 't'::regclass); end $$`,
    rename_policy: `do $$ begin execute (select format('alter policy %I on t rename to mine',
      polname) from pg_policy where polrelid = 't'::regclass); end $$`,
    permissive_policy: "create policy wide on t using (true)",
    permissive_policy_for_one: "create policy wide on t for select to current_user using (true)",
    permissive_policy_in_platforms_name: {
      attack: `create policy aerodb_tenant_wide on t using (true);
        select from pg_policy where polname = 'aerodb_tenant_wide'`,
      safe: ["none", DENIED],
    },
    permissive_by_rename: `create policy narrow on t as restrictive using (true);
      alter policy narrow on t rename to aerodb_tenant_narrow`,
    view_without_invoker: {
      attack: `create view w with (security_invoker = off) as select 1;
        select from pg_class where oid = 'w'::regclass
          and not coalesce(reloptions && '{security_invoker=true}', false)`,
      safe: ["none"],
    },
    view_reset: {
      attack: `alter view v reset (security_invoker);
        select from pg_class where oid = 'v'::regclass
          and not coalesce(reloptions && '{security_invoker=true}', false)`,
      safe: ["none"],
    },
    view_set_by_table: {
      attack: `alter table v set (security_invoker = 0);
        select from pg_class where oid = 'v'::regclass
          and not coalesce(reloptions && '{security_invoker=true}', false)`,
      safe: ["none"],
    },
    recursive_view: {
      attack: `create recursive view w (i) with (security_invoker = off) as select 1;
        select from pg_class where oid = 'w'::regclass
          and not coalesce(reloptions && '{security_invoker=true}', false)`,
      safe: ["none", "42601"],
    },

    trigger_off: "alter event trigger aerodb_relations disable",
    trigger_own: "alter event trigger aerodb_relations owner to {self}",
    trigger_rename: "alter event trigger aerodb_relations rename to mine",
    trigger_gone: "drop event trigger aerodb_relations",
    grants_trigger_gone: "drop event trigger aerodb_grants",
    function_gone: "drop function aerodb.relations() cascade",
    function_replaced: `create or replace function aerodb.keep_relation(relation oid) returns void
      language plpgsql as 'begin end'`,
    function_refuse_replaced: `create or replace function aerodb.refuse(sentence text, advice text)
      returns void language plpgsql as 'begin end'`,
    function_overloaded: `create function aerodb.keep_relation(relation int) returns void
      language plpgsql as 'begin end'`,
    function_owned: "alter function aerodb.relations() owner to {self}",
    function_settings: "alter function aerodb.relations() set search_path = {self}",
    function_renamed: "alter function aerodb.current_tenant() rename to other",
    current_tenant_replaced:
      "create or replace function aerodb.current_tenant() returns text return 'other'",
    forcing_replaced: `create or replace function aerodb.forces_row_security() returns boolean
      language sql return false`,
    schema_renamed: "alter schema aerodb rename to other",
    schema_gone: "drop schema aerodb cascade",
    extension_script: "alter extension plpgsql add function aerodb.relations()",
    trigger_by_call: {
      attack: "select aerodb.relations()",
      safe: ["0A000", DENIED, "39P01"],
    },
  },
);

/** Whether anybody but the owner has a right after what was tried. */
const GIVEN = `;select from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) e
  where c.relnamespace = '{self}'::pg_catalog.regnamespace and e.grantee <> c.relowner`;

export const GRANTS = family(
  "grants",
  {},
  {
    table_to_public: "grant select on t to public",
    table_to_group: "grant select on t to aerodb_tenants",
    table_to_pool: "grant select on t to aerodb_pool",
    table_to_neighbour: "grant select on t to {neighbour}",
    table_with_option: "grant select on t to {neighbour} with grant option",
    table_to_reader: "grant select on t to pg_monitor",
    truncate_to_public: "grant truncate, references, trigger on t to public",
    all_tables: "grant all on all tables in schema {self} to public",
    column: "grant update (x) on t to public",
    view: "grant select on v to public",
    materialized_view: "grant select on kept to public",
    partition: "grant select on part to public",
    sequence: "grant usage on sequence s to public",
    all_sequences: "grant all on all sequences in schema {self} to {neighbour}",
    function: "grant execute on function f() to {neighbour}",
    all_functions: "grant execute on all functions in schema {self} to {neighbour}",
    routine: "grant execute on routine f() to aerodb_tenants",
    type: "grant usage on type y to {neighbour}",
    domain: "grant usage on domain d to {neighbour}",
    large_object: `do $$ begin execute format('grant select on large object %s to public',
      (select min(oid::bigint) from pg_largeobject_metadata
        where lomowner = current_user::regrole)); end $$`,
    in_block: "do $$ begin execute 'grant select on t to public'; end $$",
    in_function: `create function give() returns void language sql
      as 'grant select on {self}.t to public'; select give()`,
    granted_by: "grant select on t to public granted by current_user",
    default_tables: "alter default privileges grant select on tables to public",
    default_in_schema: `alter default privileges in schema {self}
      grant all on tables to {neighbour}`,
    default_functions: "alter default privileges grant execute on functions to {neighbour}",
    default_sequences: "alter default privileges grant usage on sequences to public",
    default_schemas: {
      attack: "alter default privileges grant usage on schemas to public",
    },
    schema_to_public: {
      attack: `grant all on schema {self} to public;
        select where has_schema_privilege('{neighbour}', '{self}', 'usage')`,
      safe: ["none", DENIED],
    },
    made_later: { attack: `create table made (j int)${GIVEN}`, safe: ["none"] },
    made_with_schema: {
      attack: "create schema lair create table g (i int) grant select on g to public",
    },
    definer_function: `create function lent() returns int language sql security definer
      as 'select 1'`,
    definer_procedure: "create procedure lent() language sql security definer as 'select 1'",
    definer_replaced: `create or replace function f() returns int language sql security definer
      as 'select count(*)::int from t'`,
    definer_later: "alter function f() security definer",
    definer_routine: "alter routine f() security definer",
    definer_procedure_later: "alter procedure p() security definer",
    definer_temporary: `create function pg_temp.lent() returns int language sql security definer
      as 'select 1'`,
    definer_in_block: `do $$ begin execute 'create function lent() returns int language sql
      security definer as ''select 1'''; end $$`,
    language: {
      attack: `grant usage on language c to public;
        select from pg_language l, aclexplode(l.lanacl) e where l.lanname = 'c'`,
      safe: ["none", DENIED, "42809"],
    },
    database_to_neighbour: {
      attack: `grant create on database aerodb to {neighbour};
        select where has_database_privilege('{neighbour}', current_database(), 'create')`,
      safe: ["none", DENIED],
    },
  },
);
