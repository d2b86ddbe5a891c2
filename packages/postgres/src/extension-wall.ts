/**
 * What keeps extensions to the list inside an instance. They live in a schema of the platform's, in
 * which no tenant can create: the scripts of extensions run as the superuser, and an object that a
 * tenant put in their way would run with them. A tenant with a database of its own may install what
 * Postgres trusts by itself; an event trigger holds that to the list too.
 */
import { ALLOWED_EXTENSIONS } from "./allowed-extensions.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { DATABASE, TENANTS_ROLE } from "./names.ts";

export const EXTENSIONS_SCHEMA = "extensions";

const schema = quoteIdentifier(EXTENSIONS_SCHEMA);
const allowed = ALLOWED_EXTENSIONS.map(({ name }) => quoteLiteral(name)).join(", ");
const guard = `${schema}.refuse_unlisted`;

/** What runs is the platform's own and names nothing but pg_catalog. */
const GUARD_BODY = [
  "declare found text;",
  "begin",
  // Whoever acts: autovacuum runs what is a tenant's in a session of the superuser.
  "if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then return; end if;",
  "select e.extname into found from pg_catalog.pg_event_trigger_ddl_commands() c",
  "join pg_catalog.pg_extension e on e.oid = c.objid",
  `where c.command_tag = 'CREATE EXTENSION' and e.extname <> all (array[${allowed}]) limit 1;`,
  "if found is not null then raise exception using errcode = 'insufficient_privilege',",
  "message = pg_catalog.format('the extension %s is not on the list of the platform', found);",
  "end if;",
  "end",
].join(" ");

export const EXTENSION_TRIGGER = "aerodb_extensions";

/** Statements of one line each, for the template; in an instance without them, for repair. */
export const EXTENSION_WALL: readonly string[] = [
  `create schema ${schema};`,
  `grant usage on schema ${schema} to ${quoteIdentifier(TENANTS_ROLE)};`,
  `create function ${guard}() returns event_trigger language plpgsql ` +
    `set search_path = pg_catalog, pg_temp as $guard$${GUARD_BODY}$guard$;`,
  `revoke all on function ${guard}() from public;`,
  `create event trigger ${EXTENSION_TRIGGER} on ddl_command_end ` +
    `when tag in ('CREATE EXTENSION') execute function ${guard}();`,
  `alter database ${quoteIdentifier(DATABASE)} set search_path = ` + `"$user", public, ${schema};`,
];
