/**
 * For each rule of the proof something that breaks it, done by a superuser, and how it is undone.
 * What changes walls on purpose starts from this list.
 */
import { EXTENSION_WALL } from "../extension-wall.ts";
import { renderHba, TENANT_HBA } from "../hba.ts";
import { TENANTS_ROLE } from "../names.ts";
import { WALL_FUNCTIONS } from "../wall-functions.ts";
import { CANARY, CANARY_TABLE } from "./canary.ts";
import { type Breach, forEach, largeObjectsOf } from "./sample-breach.ts";
import { SHARED_BREACHES } from "./sample-shared-breaches.ts";
import { TENANT_BREACHES } from "./sample-tenant-breaches.ts";

const shown = `aerodb.${CANARY_TABLE}`;

/** Writes pg_hba.conf through the server, whose file it is. */
function writeHba(text: string): string {
  const rows = text
    .trim()
    .split("\n")
    .map((line) => `('${line}')`);
  return `do $hba$ begin execute pg_catalog.format(
    'copy (select * from (values ${rows.join(", ").replaceAll("'", "''")}) v) to %L',
    pg_catalog.current_setting('hba_file')); end $hba$`;
}

const OF_INSTANCES: readonly Breach[] = [
  {
    rule: "instance.event_triggers",
    place: "shared",
    done: () => "alter event trigger aerodb_relations disable",
    undone: () => "alter event trigger aerodb_relations enable",
  },
  {
    rule: "instance.event_triggers",
    place: "both",
    done: () => "alter event trigger aerodb_extensions disable",
    undone: () => "alter event trigger aerodb_extensions enable",
  },
  {
    rule: "instance.large_objects",
    place: "both",
    done: () => "grant update (loid) on pg_catalog.pg_largeobject to aerodb_meter",
    undone: () => "revoke update (loid) on pg_catalog.pg_largeobject from aerodb_meter",
  },
  {
    rule: "instance.large_objects",
    place: "both",
    also: ["instance.grants"],
    done: () => "grant select (data) on pg_catalog.pg_largeobject to aerodb_meter",
    undone: () => "revoke select (data) on pg_catalog.pg_largeobject from aerodb_meter",
  },
  {
    rule: "instance.writing_functions",
    place: "both",
    done: () => "grant execute on function pg_catalog.lo_put(oid, bigint, bytea) to public",
    undone: () => "revoke execute on function pg_catalog.lo_put(oid, bigint, bytea) from public",
  },
  {
    rule: "instance.strays",
    place: "both",
    done: () => "create view extensions.leak as select rolpassword from pg_catalog.pg_authid",
    undone: () => "drop view extensions.leak",
  },
  {
    rule: "instance.strays",
    place: "both",
    done: () => `create function public.leak() returns name language sql security definer
      as 'select current_user'`,
    undone: () => "drop function public.leak()",
  },
  {
    rule: "instance.functions",
    place: "both",
    done: () =>
      `create or replace function aerodb.refuse(sentence text, advice text) returns void
         language plpgsql set search_path = pg_catalog, pg_temp as 'begin end'`,
    undone: () => WALL_FUNCTIONS.join("\n"),
  },
  {
    rule: "instance.functions",
    place: "both",
    done: () =>
      `create or replace function extensions.refuse_unlisted() returns event_trigger
         language plpgsql set search_path = pg_catalog, pg_temp as 'begin end'`,
    undone: () =>
      EXTENSION_WALL.filter((statement) => statement.startsWith("create function"))
        .join("\n")
        .replace("create function", "create or replace function"),
  },
  {
    rule: "instance.functions",
    place: "both",
    done: () => "alter function aerodb.writes_refused() set search_path = public",
    undone: () => "alter function aerodb.writes_refused() reset all",
  },
  {
    rule: "instance.functions",
    place: "both",
    done: () => "create function aerodb.planted() returns int return 1",
    undone: () => "drop function aerodb.planted()",
  },
  {
    rule: "instance.databases",
    place: "both",
    done: () => "grant connect on database aerodb to public",
    undone: () => "revoke connect on database aerodb from public",
  },
  {
    rule: "instance.foreign",
    place: "both",
    done: () => "create foreign data wrapper out",
    undone: () => "drop foreign data wrapper out",
  },
  {
    rule: "instance.roles",
    place: "both",
    done: () => "create role stranger",
    undone: () => "drop role stranger",
  },
  {
    rule: "instance.memberships",
    place: "both",
    done: () => `grant pg_signal_backend to ${TENANTS_ROLE}`,
    undone: () => `revoke pg_signal_backend from ${TENANTS_ROLE}`,
  },
  {
    rule: "instance.grants",
    place: "both",
    done: () => `grant execute on function pg_catalog.pg_ls_waldir() to ${TENANTS_ROLE}`,
    undone: () => `revoke execute on function pg_catalog.pg_ls_waldir() from ${TENANTS_ROLE}`,
  },
  {
    rule: "instance.settings",
    place: "both",
    done: () => "alter database aerodb set row_security = 'off'",
    undone: () => "alter database aerodb reset row_security",
  },
  {
    rule: "instance.parameters",
    place: "both",
    done: () => "grant set on parameter log_statement to public",
    undone: () => "revoke set on parameter log_statement from public",
  },
  {
    rule: "instance.hba",
    place: "both",
    done: () => writeHba(`local all all trust\n${renderHba(TENANT_HBA)}`),
    undone: () => writeHba(renderHba(TENANT_HBA)),
  },
  {
    rule: "instance.extensions",
    place: "both",
    done: () => "create extension amcheck schema extensions",
    undone: () => "drop extension amcheck",
  },
  {
    rule: "instance.extension_owners",
    place: "shared",
    done: ({ self }) =>
      `update pg_catalog.pg_extension set extowner = '${self}'::pg_catalog.regrole`,
    undone: () => "update pg_catalog.pg_extension set extowner = 10",
  },
  {
    rule: "instance.languages",
    place: "both",
    done: () => "update pg_catalog.pg_language set lanpltrusted = false where lanname = 'sql'",
    undone: () => "update pg_catalog.pg_language set lanpltrusted = true where lanname = 'sql'",
  },
  {
    rule: "instance.languages",
    place: "both",
    done: () => "update pg_catalog.pg_language set lanpltrusted = true where lanname = 'c'",
    undone: () => "update pg_catalog.pg_language set lanpltrusted = false where lanname = 'c'",
  },
  {
    rule: "instance.catalogue",
    place: "both",
    done: () => "grant execute on function pg_catalog.pg_ls_waldir() to public",
    undone: () => "revoke execute on function pg_catalog.pg_ls_waldir() from public",
  },
  {
    rule: "instance.closed_functions",
    place: "shared",
    done: () => "grant execute on function pg_catalog.pg_current_wal_lsn() to public",
    undone: () => "revoke execute on function pg_catalog.pg_current_wal_lsn() from public",
  },
  {
    rule: "instance.schemas",
    place: "shared",
    done: () => "create schema stray",
    undone: () => "drop schema stray",
  },
  {
    rule: "instance.public_schema",
    place: "shared",
    done: () => "grant usage on schema public to public",
    undone: () => "revoke usage on schema public from public",
  },
  {
    rule: "instance.platform_schemas",
    place: "both",
    done: () => "grant usage on schema extensions to public",
    undone: () => "revoke usage on schema extensions from public",
  },
  {
    rule: "instance.shared_tables",
    place: "shared",
    done: () => "create table aerodb.loose (i int)",
    undone: () => "drop table aerodb.loose",
  },
  {
    rule: "instance.default_privileges",
    place: "shared",
    done: () => "alter default privileges grant select on tables to public",
    undone: () => "alter default privileges revoke select on tables from public",
  },
  {
    rule: "instance.tablespaces",
    place: "both",
    done: () => "grant create on tablespace pg_default to public",
    undone: () => "revoke create on tablespace pg_default from public",
  },
];

const AT_RUNTIME: readonly Breach[] = [
  {
    rule: "runtime.identity",
    also: ["instance.functions"],
    place: "shared",
    done: () =>
      `create or replace function aerodb.current_tenant() returns text language sql stable
         parallel safe return pg_catalog.current_setting('app.tenant_id', true)`,
    undone: () => WALL_FUNCTIONS.join("\n"),
  },
  {
    rule: "runtime.rows",
    place: "shared",
    done: () => `grant update on ${shown} to public`,
    undone: () => `revoke update on ${shown} from public`,
  },
  {
    rule: "runtime.objects",
    place: "shared",
    done: () =>
      forEach("'grant select on large object %s to public', l.oid", largeObjectsOf(CANARY)),
    undone: () =>
      forEach("'revoke select on large object %s from public', l.oid", largeObjectsOf(CANARY)),
  },
  {
    rule: "runtime.roles",
    also: ["instance.catalogue"],
    place: "both",
    done: () => "grant select on pg_catalog.pg_authid to public",
    undone: () => "revoke select on pg_catalog.pg_authid from public",
  },
  {
    rule: "runtime.server",
    also: ["instance.catalogue"],
    place: "both",
    done: () => "grant execute on function pg_catalog.pg_reload_conf() to public",
    undone: () => "revoke execute on function pg_catalog.pg_reload_conf() from public",
  },
];

export const BREACHES: readonly Breach[] = [
  ...TENANT_BREACHES,
  ...OF_INSTANCES,
  ...SHARED_BREACHES,
  ...AT_RUNTIME,
];
