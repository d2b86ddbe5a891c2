/** What the platform keeps in an instance for all tenants, and what everybody may do there. */
import { ALLOWED_EXTENSIONS } from "../allowed-extensions.ts";
import { EXTENSIONS_SCHEMA } from "../extension-wall.ts";
import {
  PLATFORM_SCHEMA,
  POOL_ROLE,
  SHARED_ROLE,
  SHARED_SCHEMA,
  TENANTS_ROLE,
  WRITERS_ROLE,
} from "../names.ts";
import { CLOSED_FUNCTIONS } from "../public-functions.ts";
import { LARGE_OBJECT_WRITERS } from "../writes-wall.ts";
import { CANARY } from "./canary.ts";
import { functionRows, triggerRows } from "./expected-walls.ts";
import { catalogue, described, hashOf, IS_TENANT, listed, type Rule, roleName } from "./rule.ts";

const everywhere = { place: "both", scope: "instance" } as const;
const inShared = { place: "shared", scope: "instance" } as const;

const SCHEMA_RIGHTS = `
  n.nspowner = 10 and not exists (
    select from pg_catalog.aclexplode(n.nspacl) e
    where e.grantee <> 10 and not (n.nspname = '${SHARED_SCHEMA}' and not e.is_grantable
        and ${roleName("e.grantee")} = '${SHARED_ROLE}')
      and not (e.privilege_type = 'USAGE' and not e.is_grantable
      and e.grantee <> 0 and (${roleName("e.grantee")} = '${TENANTS_ROLE}'
        or ${roleName("e.grantee")} = '${POOL_ROLE}' and n.nspname = '${PLATFORM_SCHEMA}')))`;
/** The hash of a host's own key to the doors of its tenants, as Postgres writes it out. */
const KEY_BODY = "'^RETURN decode[(]''[0-9a-f]{64}''::text, ''hex''::text[)]$'";

function walls(place: "shared" | "dedicated", forced: boolean): readonly Rule[] {
  const where = { place, scope: "instance" } as const;
  // Where there is one tenant, only what keeps extensions to the list and what refuses writes.
  const required = place === "shared" ? "true" : "e.everywhere";
  return [
    {
      ...where,
      id: "instance.event_triggers",
      subject: "event triggers",
      sentence: "The platform's event triggers stand as it made them, and there are no others.",
      sql: `
        with expected(name, event, calls, tags, everywhere) as (values ${triggerRows()})
        select null::pg_catalog.text as tenant, case
            when t.oid is null then false
            else t.evtowner = 10 and t.evtevent::pg_catalog.text = e.event
              and t.evttags = e.tags and t.evtenabled in ('O', 'A')
              and pg_catalog.format('%s.%s', n.nspname, p.proname) = e.calls end as held,
          'event trigger ' || e.name as name
        from expected e left join pg_catalog.pg_event_trigger t
          on t.evtname::pg_catalog.text = e.name
        left join pg_catalog.pg_proc p on p.oid = t.evtfoid
        left join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where ${required}
        union all
        select null, false, 'event trigger ' || t.evtname from pg_catalog.pg_event_trigger t
        where t.evtname::pg_catalog.text not in (select name from expected)`,
    },
    {
      ...where,
      id: "instance.functions",
      subject: "functions of the platform",
      sentence: "The platform's functions are as it wrote them, and there are no others.",
      sql: `
        with expected(schema, name, hash, everywhere, pinned) as (values ${functionRows(forced)}),
        found as materialized (
          select p.*, n.nspname::pg_catalog.text as schema from pg_catalog.pg_proc p
          join pg_catalog.pg_namespace n on n.oid = p.pronamespace
          where n.nspname in ('${PLATFORM_SCHEMA}', '${EXTENSIONS_SCHEMA}')
            and not (p.proname ~ ${IS_TENANT}
              and p.proname = pg_catalog.pg_get_userbyid(p.proowner))
            and not exists (select from members m
              where m.classid = ${catalogue("pg_proc")} and m.objid = p.oid)
        )
        select null::pg_catalog.text as tenant, f.oid is not null and f.proowner = 10
            and not f.prosecdef
            and ${hashOf("coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), f.prosrc)")} = e.hash
            and case when e.pinned then f.proconfig @> array['search_path=pg_catalog, pg_temp']
              else f.proconfig is null end as held,
          pg_catalog.format('function %s.%s', e.schema, e.name) as name
        from expected e left join found f on f.schema = e.schema
          and f.proname::pg_catalog.text = e.name
        where ${required} or f.oid is not null
        union all
        select null, false, ${described(catalogue("pg_proc"), "f.oid")}
        from found f left join expected e on e.schema = f.schema
          and e.name = f.proname::pg_catalog.text
        where e.name is null and not (f.proname = 'request_key' and f.schema = '${PLATFORM_SCHEMA}'
          and f.proowner = 10 and not f.prosecdef and f.pronargs = 0
          and pg_catalog.pg_get_function_sqlbody(f.oid) ~ ${KEY_BODY})`,
    },
  ];
}

export function rulesOfPlatform(forced: boolean): readonly Rule[] {
  return [...walls("shared", forced), ...walls("dedicated", forced), ...RULES];
}

/** https://www.postgresql.org/docs/current/system-catalog-initial-data.html: FirstNormalObjectId */
const FIRST_OF_USERS = 16_384;
const OWN_SCHEMAS = ["pg_catalog", "information_schema", "public"];
/** What the platform allows, and what an operator may add to measure statements. */
const EXTENSIONS = ["plpgsql", "pg_stat_statements", ...ALLOWED_EXTENSIONS.map(({ name }) => name)];

const RULES: readonly Rule[] = [
  {
    ...everywhere,
    id: "instance.extensions",
    subject: "extensions",
    sentence: "There are no extensions but those on the platform's list.",
    sql: `
      select null::pg_catalog.text as tenant,
        x.extname in (${listed(EXTENSIONS)}) as held,
        'extension ' || x.extname as name
      from pg_catalog.pg_extension x`,
  },
  {
    ...everywhere,
    id: "instance.strays",
    subject: "objects among the server's own",
    sentence: "Among the server's own relations and functions are none that somebody added.",
    sql: `
      with added(classid, objid) as (
        select ${catalogue("pg_class")}, c.oid from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.oid >= ${FIRST_OF_USERS} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
          and n.nspname in (${listed([...OWN_SCHEMAS, EXTENSIONS_SCHEMA])})
          and pg_catalog.pg_get_userbyid(c.relowner) !~ ${IS_TENANT}
        union all
        select ${catalogue("pg_proc")}, p.oid from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where p.oid >= ${FIRST_OF_USERS} and n.nspname in (${listed(OWN_SCHEMAS)})
          and pg_catalog.pg_get_userbyid(p.proowner) !~ ${IS_TENANT}
      )
      select null::pg_catalog.text as tenant, exists (
          select from members m where m.classid = a.classid and m.objid = a.objid) as held,
        ${described("a.classid", "a.objid")} as name
      from added a`,
  },
  {
    ...inShared,
    id: "instance.extension_owners",
    subject: "extensions",
    sentence: "Every extension belongs to the platform.",
    sql: `
      select null::pg_catalog.text as tenant, x.extowner = 10 as held,
        'extension ' || x.extname as name
      from pg_catalog.pg_extension x`,
  },
  {
    ...everywhere,
    id: "instance.languages",
    subject: "languages",
    sentence: "Nobody may write in a language that leaves the server.",
    sql: `
      select null::pg_catalog.text as tenant, case
          when l.lanname in ('internal', 'c') then not l.lanpltrusted and not exists (
            select from pg_catalog.aclexplode(l.lanacl) e where e.grantee <> 10)
          else l.lanpltrusted end as held,
        'language ' || l.lanname as name
      from pg_catalog.pg_language l`,
  },
  {
    ...everywhere,
    id: "instance.catalogue",
    subject: "objects of the catalogue",
    sentence: "PUBLIC may do no more with the catalogue than in a new server.",
    sql: `
      with now(classid, objid, objsubid, acl) as (
        select ${catalogue("pg_class")}, c.oid, 0, c.relacl from pg_catalog.pg_class c
        where c.relnamespace = 11 and c.relacl is not null
        union all
        select ${catalogue("pg_class")}, a.attrelid, a.attnum, a.attacl
        from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 11 and a.attacl is not null
        union all
        select ${catalogue("pg_proc")}, p.oid, 0,
          coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
        from pg_catalog.pg_proc p where p.pronamespace = 11 and (p.proacl is not null or exists (
          select from pg_catalog.pg_init_privs i
          where i.classoid = ${catalogue("pg_proc")} and i.objoid = p.oid))
      )
      select null::pg_catalog.text as tenant, not exists (
          select from pg_catalog.aclexplode(n.acl) e where e.grantee = 0
            and not (i.objoid is null and n.classid = ${catalogue("pg_proc")})
            and not exists (
              select from pg_catalog.aclexplode(i.initprivs) b
              where b.grantee = 0 and b.privilege_type = e.privilege_type)) as held,
        ${described("n.classid", "n.objid", "n.objsubid")} as name
      from now n left join pg_catalog.pg_init_privs i on i.classoid = n.classid
        and i.objoid = n.objid and i.objsubid = n.objsubid`,
  },
  {
    ...everywhere,
    id: "instance.writing_functions",
    subject: "functions",
    sentence: `Only ${WRITERS_ROLE} may execute what makes large objects or adds to them.`,
    sql: `
      select null::pg_catalog.text as tenant, p.proacl is not null and not exists (
          select from pg_catalog.aclexplode(p.proacl) e
          where e.grantee <> 10 and ${roleName("e.grantee")} <> '${WRITERS_ROLE}') as held,
        ${described(catalogue("pg_proc"), "p.oid")} as name
      from pg_catalog.pg_proc p where p.pronamespace = 11
        and p.proname in (${listed(LARGE_OBJECT_WRITERS)})`,
  },
  {
    ...inShared,
    id: "instance.closed_functions",
    subject: "functions",
    sentence: "PUBLIC may not execute what would show neighbours' work.",
    sql: `
      select null::pg_catalog.text as tenant, p.proacl is not null and not exists (
          select from pg_catalog.aclexplode(p.proacl) e where e.grantee = 0) as held,
        ${described(catalogue("pg_proc"), "p.oid")} as name
      from pg_catalog.pg_proc p where p.pronamespace = 11
        and p.proname in (${listed(CLOSED_FUNCTIONS.map(({ name }) => name))})`,
  },
  {
    ...inShared,
    id: "instance.schemas",
    subject: "schemas",
    sentence: "There are no schemas but the platform's and those of its tenants.",
    sql: `
      select null::pg_catalog.text as tenant, n.nspname in (${listed([
        "public",
        PLATFORM_SCHEMA,
        EXTENSIONS_SCHEMA,
        SHARED_SCHEMA,
        CANARY,
      ])}) or n.nspname ~ ${IS_TENANT} as held,
        'schema ' || n.nspname as name
      from pg_catalog.pg_namespace n
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`,
  },
  {
    ...inShared,
    id: "instance.public_schema",
    subject: "schemas",
    sentence: "The schema public is closed to everybody.",
    sql: `
      select null::pg_catalog.text as tenant, n.nspacl is not null and not exists (
          select from pg_catalog.aclexplode(n.nspacl) e
          where e.grantee not in (10, n.nspowner)) as held,
        'schema public' as name
      from pg_catalog.pg_namespace n where n.nspname = 'public'`,
  },
  {
    ...everywhere,
    id: "instance.platform_schemas",
    subject: "schemas",
    sentence: "Tenants may use the platform's schemas and create nothing in them.",
    sql: `
      select null::pg_catalog.text as tenant, ${SCHEMA_RIGHTS} as held,
        'schema ' || n.nspname as name
      from pg_catalog.pg_namespace n
      where n.nspname in (${listed([PLATFORM_SCHEMA, EXTENSIONS_SCHEMA])})
        -- In an instance of its own a tenant may have one of that name.
        or n.nspname = '${SHARED_SCHEMA}'
          and pg_catalog.to_regclass('${PLATFORM_SCHEMA}.shared_table_changes') is not null`,
  },
  {
    ...inShared,
    id: "instance.shared_tables",
    subject: "shared tables",
    sentence: "Row level security is enabled on every table that tenants share.",
    sql: `
      select null::pg_catalog.text as tenant, c.relrowsecurity as held,
        ${described(catalogue("pg_class"), "c.oid")} as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p')
        and n.nspname in (${listed([SHARED_SCHEMA, PLATFORM_SCHEMA])})`,
  },
  {
    ...inShared,
    id: "instance.default_privileges",
    subject: "default privileges",
    sentence: "Nothing that the platform makes later comes with rights of tenants.",
    sql: `
      select null::pg_catalog.text as tenant, false as held,
        ${described(catalogue("pg_default_acl"), "f.oid")} as name
      from pg_catalog.pg_default_acl f
      where ${roleName("f.defaclrole")} !~ ${IS_TENANT}`,
  },
];
