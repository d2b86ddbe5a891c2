/**
 * What refuses a tenant's writes while its storage quota or spend cap is used up, and costs nothing
 * otherwise.
 * Whether they are accepted is one right: that to create in its own schema, which the platform owns
 * and alone can give. Postgres itself refuses by it whatever would make a relation; a trigger on
 * each table asks for it before a statement adds to that; and what has neither schema nor trigger,
 * temporary tables and large objects, needs WRITERS_ROLE, in which such a tenant is not.
 */
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { writtenExpression } from "./isolation/written-expression.ts";
import { DATABASE, PLATFORM_SCHEMA, TENANTS_ROLE, WRITERS_ROLE } from "./names.ts";
import { oneLine, platform, platformFunction, platformFunctionInFull } from "./wall-functions.ts";

/** How the names of the platform's triggers begin: as with policies, a random part follows. */
export const GUARD_PREFIX = "aerodb_writes";
/** Which large objects are made or grow by. Reading and removing them takes none of these. */
export const LARGE_OBJECT_WRITERS: readonly string[] = [
  ...["lo_creat", "lo_create", "lo_from_bytea", "lo_put", "lowrite"],
  ...["lo_truncate", "lo_truncate64"],
];
/** What a comment on a tenant's role begins with while its writes are refused; seconds follow. */
export const REFUSED_SINCE = "writes refused since ";

/** The condition of a table's trigger, as Postgres writes it out. */
const REFUSES = `${PLATFORM_SCHEMA}.writes_refused()`;

const writers = quoteIdentifier(WRITERS_ROLE);
const database = quoteIdentifier(DATABASE);
const prefix = quoteLiteral(GUARD_PREFIX);
const group = quoteLiteral(WRITERS_ROLE);

/** Made before the functions, which name nothing of it, and before any tenant. */
export const WRITERS_GROUP: readonly string[] = [
  `do $role$ begin if not exists (select from pg_catalog.pg_roles where rolname = ${group}) then ` +
    `create role ${writers} nologin; end if; end $role$;`,
  `grant temporary on database ${database} to ${writers};`,
  `revoke temporary on database ${database} from ${quoteIdentifier(TENANTS_ROLE)};`,
  oneLine(`do $close$ declare it regprocedure;
    begin
      for it in select oid from pg_catalog.pg_proc
        where pronamespace = 'pg_catalog'::pg_catalog.regnamespace
          and proname in (${LARGE_OBJECT_WRITERS.map(quoteLiteral).join(", ")})
      loop
        execute pg_catalog.format('revoke execute on function %s from public', it);
        execute pg_catalog.format('grant execute on function %s to ${writers}', it);
      end loop;
    end $close$;`),
  // Of an instance that was made before there was the group.
  oneLine(`do $join$ declare it name;
    begin
      for it in select r.rolname from pg_catalog.pg_roles r
        join pg_catalog.pg_namespace n on n.nspname = r.rolname
        where pg_catalog.starts_with(r.rolname::pg_catalog.text, 'ten_')
          and pg_catalog.has_schema_privilege(r.oid, n.oid, 'create')
          and not exists (select from pg_catalog.pg_auth_members m
            where m.member = r.oid and m.roleid = ${group}::pg_catalog.regrole)
      loop
        execute pg_catalog.format('grant ${writers} to %I', it)
          || case when pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000
            then ' with set false' else '' end;
      end loop;
    end $join$;`),
];

const HINT =
  "Delete or truncate data, or drop tables, indexes or large objects, and VACUUM: all of that " +
  "and reading works. Writes are accepted again once less is stored; where the spend cap is " +
  "reached, once it is raised or the month turns.";

/**
 * As who acts, or as who logged in where that became a group it is in. A condition is parsed anew
 * by each statement, which for a call costs a third of what the same costs written out there.
 */
const WRITES_REFUSED = platformFunctionInFull(
  "writes_refused() returns boolean stable",
  `begin
    return case
      when pg_catalog.starts_with(current_user::pg_catalog.text, 'ten_')
        then not pg_catalog.has_schema_privilege(
          current_user, current_user::pg_catalog.text, 'CREATE')
      when pg_catalog.starts_with(session_user::pg_catalog.text, 'ten_')
        then not pg_catalog.has_schema_privilege(
          session_user, session_user::pg_catalog.text, 'CREATE')
      else false end;
  end`,
);

const REFUSE_FULL = platformFunction(
  "refuse_full(what text) returns void",
  `begin
    raise exception using errcode = 'disk_full',
      message = what || ' is refused: the storage quota or spend cap of this tenant is used up',
      hint = ${quoteLiteral(HINT)};
  end`,
);

/** Asked by policies of shared tables, in a subselect: once for a statement that adds a row. */
const ACCEPTS_WRITES = platformFunction(
  "accepts_writes() returns boolean stable",
  `begin
    if ${platform}.writes_refused() then
      perform ${platform}.refuse_full('writing to a shared table');
    end if;
    return true;
  end`,
);

/** Called only where the condition of the trigger holds. */
const REFUSE_WRITE = platformFunction(
  "refuse_write() returns trigger",
  `begin
    perform ${platform}.refuse_full(
      format('%s on %I.%I', tg_op, tg_table_schema, tg_table_name));
    return null;
  end`,
);

/**
 * The triggers of a table that are as the platform's must be: before every statement that inserts
 * or updates, and on the one condition.
 */
const RIGHT_GUARDS = platformFunction(
  "right_guards(relation oid) returns oid[] stable",
  `begin
    return array(
      select g.oid from pg_trigger g
      where g.tgrelid = relation and starts_with(g.tgname::text, ${prefix})
        and g.tgfoid = to_regprocedure('${PLATFORM_SCHEMA}.refuse_write()')
        and g.tgenabled in ('O', 'A') and g.tgtype = 22 and g.tgattr::text = ''
        and not g.tgisinternal
        and pg_get_expr(g.tgqual, relation) = ${quoteLiteral(REFUSES)});
  end`,
);

/** The same of a row `g` of pg_trigger, asked without a lock on the table. */
export const IS_RIGHT_GUARD = `(pg_catalog.starts_with(g.tgname::pg_catalog.text, ${prefix})
    and g.tgfoid = pg_catalog.to_regprocedure('${PLATFORM_SCHEMA}.refuse_write()')
    and g.tgenabled in ('O', 'A') and g.tgtype = 22 and g.tgattr::pg_catalog.text = ''
    and ${writtenExpression("g.tgqual")} = ${quoteLiteral(REFUSES)})`;

/** The right one first: to take away the last that is right is refused. */
const KEEP_WRITES = platformFunction(
  "keep_writes(relation oid) returns void",
  `declare
    it record;
    guards oid[];
    wrong name;
  begin
    select format('%I.%I', n.nspname, c.relname) as name
      into it from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.oid = relation and c.relkind in ('r', 'p') and c.relpersistence <> 't'
        and starts_with(pg_get_userbyid(c.relowner)::text, 'ten_');
    if it.name is null then return; end if;
    guards := ${platform}.right_guards(relation);
    if guards = '{}' then
      execute format('create trigger %I before insert or update on %s for each statement
        when (${platform}.writes_refused()) execute function ${platform}.refuse_write()',
        concat(${prefix}, '_', "left"(gen_random_uuid()::text, 8)), it.name);
      guards := ${platform}.right_guards(relation);
    end if;
    for wrong in
      select g.tgname from pg_trigger g where g.tgrelid = relation and not g.tgisinternal
        and g.oid <> guards[1] and (starts_with(g.tgname::text, ${prefix})
          or g.tgfoid = to_regprocedure('${PLATFORM_SCHEMA}.refuse_write()'))
    loop
      execute format('drop trigger %I on %s', wrong, it.name);
    end loop;
  end`,
);

/** In the order in which they need each other. */
export const WRITES_FUNCTIONS: readonly string[] = [
  WRITES_REFUSED,
  REFUSE_FULL,
  ACCEPTS_WRITES,
  REFUSE_WRITE,
  RIGHT_GUARDS,
  KEEP_WRITES,
];
