/**
 * What the walls of a shared instance are made of: functions of the platform that say who a tenant
 * is and what its relations must look like. They run with the rights of whoever calls them, name
 * nothing but pg_catalog and the platform's schema, and keep no state: each looks at what is there
 * and makes it right, so that a second call changes nothing.
 */
import { EXTENSIONS_SCHEMA } from "./extension-wall.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { PLATFORM_SCHEMA, POOL_ROLE, SHARED_SCHEMA } from "./names.ts";

/**
 * How the names of the platform's policies begin. A random part follows, so that what a dump says
 * of one never meets the one that a restored table already has.
 */
export const POLICY_PREFIX = "aerodb_tenant";

/** Of one request: those that are left out are null. */
export const MOST_PARAMETERS = 32;

/**
 * What is the platform's in an instance is made by one session at a time. No tenant can hold this:
 * an advisory lock is anybody's.
 */
export const ONE_AT_A_TIME = "lock table pg_catalog.pg_event_trigger in share row exclusive mode";

export const platform = quoteIdentifier(PLATFORM_SCHEMA);
const prefix = quoteLiteral(POLICY_PREFIX);
/** A session could set how expressions are written out, and they are compared. */
const PINS = "set search_path = pg_catalog, pg_temp set quote_all_identifiers = off";

/** Statements of one line each are what a server in single-user mode reads. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

/** A function in PL/pgSQL that replaces an older one of its name. */
export function platformFunction(signature: string, body: string): string {
  const head = `create or replace function ${platform}.${signature} language plpgsql ${PINS}`;
  return `${head} as $wall$${oneLine(body)}$wall$;`;
}

/**
 * One that is asked by every statement names all in full instead: to pin costs it more than all the
 * rest that it does.
 */
export function platformFunctionInFull(signature: string, body: string): string {
  const head = `create or replace function ${platform}.${signature} language plpgsql`;
  return `${head} as $wall$${oneLine(body)}$wall$;`;
}

/**
 * Whose rows a statement may see: the login, or for the pooled login the role that it acts as, and
 * only where the tag names the same. Parsed when it is made, so that no search path reaches it, and
 * one expression, so that it becomes part of the query.
 */
const CURRENT_TENANT = oneLine(`
  create or replace function ${platform}.current_tenant() returns text
    language sql stable parallel safe
    return case
      when current_setting('app.tenant_id', true) operator(pg_catalog.=)
        case when session_user operator(pg_catalog.=) ${quoteLiteral(POOL_ROLE)}
          then current_user::text else session_user::text end
      then current_setting('app.tenant_id', true)
    end;`);

/** Whether owners are bound by policies too: replaced by the platform, read by the triggers. */
export function forcing(forced: boolean): string {
  return oneLine(`
    create or replace function ${platform}.forces_row_security() returns boolean
      language sql immutable parallel safe return ${forced};`);
}

const REFUSE = platformFunction(
  "refuse(sentence text, advice text) returns void",
  `begin
    raise exception using errcode = 'insufficient_privilege', message = sentence, hint = advice;
  end`,
);

/** The policies of a table that are as the platform's must be: at least one, and one is enough. */
const RIGHT_POLICIES = platformFunction(
  "right_policies(relation oid) returns oid[] stable",
  `declare wanted text;
  begin
    select format('(( SELECT ${PLATFORM_SCHEMA}.current_tenant() AS current_tenant) = %L::text)',
        n.nspname) into wanted
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
    return array(
      select p.oid from pg_policy p
      where p.polrelid = relation and starts_with(p.polname::text, ${prefix})
        and p.polpermissive and p.polcmd = '*' and p.polroles = array[0::oid]
        and pg_get_expr(p.polqual, relation) = wanted
        and pg_get_expr(p.polwithcheck, relation) = wanted);
  end`,
);

/**
 * The policy asks in a subselect, which is answered once for a statement and not for each row. It
 * comes first: the trigger that this fires finds it right, and does nothing.
 */
const KEEP_RELATION = platformFunction(
  "keep_relation(relation oid) returns void",
  `declare
    it record;
    changes text;
  begin
    select c.relkind, c.relrowsecurity, c.relforcerowsecurity, n.nspname as tenant,
        format('%I.%I', n.nspname, c.relname) as name,
        coalesce((select o.option_value::boolean from pg_options_to_table(c.reloptions) o
          where o.option_name = 'security_invoker'), false) as invoked
      into it from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.oid = relation and starts_with(n.nspname::text, 'ten_');
    if it.relkind = 'v' and not it.invoked then
      execute format('alter view %s set (security_invoker = true)', it.name);
    end if;
    if it.relkind = 'm' and ${platform}.reads_shared(relation) then
      execute format('drop materialized view %s cascade', it.name);
    end if;
    if it.relkind is null or it.relkind not in ('r', 'p') then return; end if;
    if ${platform}.right_policies(relation) = '{}' then
      execute format('create policy %I on %s for all to public
        using ((select ${platform}.current_tenant()) operator(pg_catalog.=) %L)
        with check ((select ${platform}.current_tenant()) operator(pg_catalog.=) %L)',
        ${prefix} || '_' || "left"(gen_random_uuid()::text, 8), it.name, it.tenant, it.tenant);
    end if;
    changes := concat_ws(', ',
      case when not it.relrowsecurity then 'enable row level security' end,
      case when ${platform}.forces_row_security() and not it.relforcerowsecurity
        then 'force row level security' end);
    if changes <> '' then execute format('alter table %s %s', it.name, changes); end if;
  end`,
);

/** Whether a view reads a shared table, through whatever other views. */
const READS_SHARED = platformFunction(
  "reads_shared(relation oid) returns boolean stable",
  `begin
    return exists (
      with recursive sources(source) as (
        select relation
        union
        select d.refobjid from sources s
        join pg_rewrite r on r.ev_class = s.source
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
          and d.refclassid = 'pg_class'::regclass
      )
      select from sources s join pg_class c on c.oid = s.source
      where c.relnamespace = to_regnamespace(${quoteLiteral(SHARED_SCHEMA)}));
  end`,
);

/**
 * The door of pooled requests to one tenant: a function that the tenant owns and the pooled login
 * may call. What runs in there has the rights of the tenant and cannot become anybody: Postgres
 * refuses that within a function of this kind, and the login is a member of no role. What
 * was deferred runs in there too. The key, which only the platform has, keeps out code of a tenant
 * that found a way to run after its function has ended.
 */
export function requestDoor(tenantId: string): readonly string[] {
  const tenant = quoteIdentifier(tenantId);
  const door = doorNamed(tenantId);
  const given = Array.from({ length: MOST_PARAMETERS }, (_, index) => `parameters[${index + 1}]`);
  const body = oneLine(`
    begin
      if sha256(convert_to(key, 'UTF8')) is distinct from ${platform}.request_key() then
        raise exception using errcode = 'insufficient_privilege', message = 'no such door';
      end if;
      return query execute concat('with request as (', statement, chr(10),
        ') select to_jsonb(request) from request') using ${given.join(", ")};
      set constraints all immediate;
    end`);
  return [
    `create or replace function ${door} returns setof jsonb language plpgsql security definer ` +
      `set search_path = ${searchPath(tenantId)} as $door$${body}$door$`,
    `alter function ${door} owner to ${tenant}`,
    `revoke all on function ${door} from public`,
    `grant execute on function ${door} to ${quoteIdentifier(POOL_ROLE)}`,
  ];
}

/** The door of a tenant, with its parameters. */
export function doorNamed(tenantId: string): string {
  return `${platform}.${quoteIdentifier(tenantId)}(key text, statement text, parameters text[])`;
}

/**
 * Where a pooled request finds what has no schema: nothing of the tenant's hides Postgres's own.
 */
export function searchPath(tenantId: string): string {
  const [own, extensions] = [tenantId, EXTENSIONS_SCHEMA].map(quoteIdentifier);
  return `pg_catalog, ${own}, ${extensions}, pg_temp`;
}

/** What a key is known by. Everybody may read it: of 256 random bits it tells nothing. */
export function requestKey(keyHash: string): string {
  return oneLine(`
    create or replace function ${platform}.request_key() returns bytea
      language sql immutable parallel safe return decode(${quoteLiteral(keyHash)}, 'hex');`);
}

/** In the order in which they need each other. */
export const WALL_FUNCTIONS: readonly string[] = [
  CURRENT_TENANT,
  REFUSE,
  RIGHT_POLICIES,
  READS_SHARED,
  KEEP_RELATION,
];
