/** A neighbour's rows, and what else stands in its schema. */
import { BOTH, family } from "../attack-case.ts";

export const ROWS = family(
  "rows",
  {},
  {
    select: { attack: "select * from {neighbour}.t", safe: ["42501", "none"] },
    select_for_update: "select * from {neighbour}.t for update",
    table: "table {neighbour}.t",
    insert: "insert into {neighbour}.t (x) values ('planted')",
    update: "update {neighbour}.t set x = 'changed'",
    delete: "delete from {neighbour}.t",
    truncate: "truncate {neighbour}.t",
    merge: `merge into {neighbour}.t using (select 1) s on true
      when matched then update set x = 'changed'`,
    copy_out: "copy {neighbour}.t to stdout",
    copy_in: "copy {neighbour}.t from stdin",
    view: { attack: "select * from {neighbour}.v", safe: ["42501", "none"] },
    materialized_view: "select * from {neighbour}.kept",
    partition: "select * from {neighbour}.part",
    column: { attack: "select i from {neighbour}.t", safe: ["42501", "none"] },
    explain: "explain select * from {neighbour}.t",
    explain_analyze: "explain analyze select * from {neighbour}.t",
    prepare: "prepare p as select * from {neighbour}.t",
    cursor: "declare c cursor for select * from {neighbour}.t",
    block: "do $$ begin perform from {neighbour}.t; end $$",
    dynamic: "do $$ begin execute 'select from {neighbour}.t'; end $$",
    function_body: `create function peek() returns setof text language sql
      as 'select x from {neighbour}.t'`,
    parsed_body:
      "create function peek() returns bigint return (select count(*) from {neighbour}.t)",
    own_view: "create view peek as select * from {neighbour}.t",
    own_materialized_view: "create materialized view peek as select * from {neighbour}.t",
    own_rule: `create rule peek as on insert to {self}.t do also
      insert into {neighbour}.t (x) values (new.x)`,
    as_xml: "select query_to_xml('select * from {neighbour}.t', true, true, '')",
    table_as_xml: "select table_to_xml('{neighbour}.t', true, true, '')",
    schema_as_xml: {
      attack: `select where schema_to_xml('{neighbour}', true, true, '')::text like '%secret%'`,
      safe: ["42501", "none"],
    },
    text_statistics: "select * from ts_stat('select to_tsvector(x) from {neighbour}.t')",
    row_version: "select currtid2('{neighbour}.t', '(0,1)')",
    row_type: "select null::{neighbour}.t",
    like: "create table mine (like {neighbour}.t)",
    inherit: "create table heir () inherits ({neighbour}.t)",
    attach: `create table rake (i int, x text) partition by list (i);
      alter table rake attach partition {neighbour}.t default`,
    join_partitions: "create table rake partition of {neighbour}.whole for values in (1)",
    foreign_key: "create table prober (id int references {neighbour}.t (i))",
    trigger: `create function spy() returns trigger language plpgsql as 'begin return new; end';
      create trigger spy before insert on {neighbour}.t for each row execute function spy()`,
    rule: "create rule spy as on insert to {neighbour}.t do instead nothing",
    index: "create index spy on {neighbour}.t (x)",
    policy: "create policy spy on {neighbour}.t using (true)",
    row_security_off: "alter table {neighbour}.t disable row level security",
    statistics_object: "create statistics spy on i, x from {neighbour}.t",
    comment: "comment on table {neighbour}.t is 'mine'",
    lock: "lock table {neighbour}.t in access exclusive mode",
    lock_share: "lock table {neighbour}.t in access share mode nowait",
    cluster: "cluster {neighbour}.t using t_pkey",
    reindex: { attack: "reindex table {neighbour}.t", alone: true },
    refresh: "refresh materialized view {neighbour}.kept",
    rename: "alter table {neighbour}.t rename to mine",
    drop: "drop table {neighbour}.t",
    drop_schema: "drop schema {neighbour} cascade",
    rename_schema: "alter schema {neighbour} rename to stolen",
    own_schema: "alter schema {neighbour} owner to {self}",
    create_inside: "create table {neighbour}.planted (i int)",
    create_schema_inside: "create schema authorization {neighbour} create table planted (i int)",
    move_inside: "alter table {self}.t set schema {neighbour}",
    column_statistics: {
      attack: "select * from pg_stats where schemaname = '{neighbour}' and tablename = 't'",
      safe: ["none"],
    },
    extended_statistics: {
      attack: "select * from pg_stats_ext where schemaname = '{neighbour}'",
      safe: ["none"],
    },
    raw_statistics: "select * from pg_statistic",
    raw_extended_statistics: "select stxdmcv from pg_statistic_ext_data",
    temporary_table: `do $$ begin execute (select format('select from %I.passing', nspname)
      from pg_class c join pg_namespace n on n.oid = relnamespace
      where relname = 'passing' and relowner = '{neighbour}'::regrole); end $$`,
    temporary_schema: `do $$ begin execute (select format('create table %I.planted (i int)',
      nspname) from pg_class c join pg_namespace n on n.oid = relnamespace
      where relname = 'passing' and relowner = '{neighbour}'::regrole); end $$`,
    error_of_constraint: "insert into {neighbour}.t values (1, 'the-victims-secret')",
  },
);

const shaped = "select 'the-victims-secret'::{neighbour}.e";

export const OBJECTS = family(
  "objects",
  {},
  {
    sequence_next: "select nextval('{neighbour}.s')",
    sequence_set: "select setval('{neighbour}.s', 7)",
    sequence_read: "select last_value from {neighbour}.s",
    sequence_listed: {
      attack: `select from pg_sequences
        where schemaname = '{neighbour}' and last_value is not null`,
      safe: ["none"],
    },
    function: "select {neighbour}.f()",
    procedure: "call {neighbour}.p()",
    replace_function: "create or replace function {neighbour}.f() returns int return 1",
    operator: "select 1 operator({neighbour}.===) 1",
    type: "create temporary table worn (y {neighbour}.y)",
    domain: "select 1::{neighbour}.d",
    enumeration: shaped,
    add_label: "alter type {neighbour}.e add value 'more'",
    large_object_read: "select lo_get({large_object})",
    large_object_open: "select lo_open({large_object}, 262144)",
    large_object_write: "select lo_put({large_object}, 0, 'mine')",
    large_object_remove: "select lo_unlink({large_object})",
    large_object_own: "alter large object {large_object} owner to {self}",
    large_object_comment: "comment on large object {large_object} is 'mine'",
    large_objects_raw: "select data from pg_largeobject",
    canary_large_object: `select lo_get(l.oid) from pg_largeobject_metadata l
      where l.lomowner = 'aerodb_canary'::regrole`,
    use_public: {
      attack: "select where has_schema_privilege('public', 'usage')",
      safe: ["none"],
    },
    create_in_public: "create table public.planted (i int)",
    create_in_catalogue: {
      attack: "create function pg_catalog.planted() returns int return 1",
      models: BOTH,
    },
    create_in_platform: "create table aerodb.planted (i int)",
    create_in_extensions: "create function extensions.planted() returns int return 1",
    information_schema: "create view information_schema.planted as select 1",
    cast: {
      attack: `create function away(int) returns text language sql as 'select null::text';
        create cast (int as text) with function away(int)`,
      models: BOTH,
    },
    operator_of_catalogue: {
      attack: "create operator pg_catalog.+ (rightarg = text, function = upper)",
      models: BOTH,
    },
    catalogue_table: {
      attack: "update pg_catalog.pg_authid set rolsuper = true",
      models: BOTH,
    },
    catalogue_index: {
      attack: "create index spy on pg_catalog.pg_class (relname)",
      models: BOTH,
    },
    operator_class: {
      attack: "create operator class spy default for type int using btree as storage int",
      models: BOTH,
    },
    base_type: {
      attack: `create type spy; create function spy_in(cstring) returns spy language internal
        as 'int4in'`,
      models: BOTH,
    },
  },
);
