/** A tenant's role: what it is, what it is a member of, what is set for it, and what it owns. */
import { EXTENSIONS_SCHEMA } from "../extension-wall.ts";
import { quoteLiteral } from "../identifier.ts";
import { PLATFORM_SCHEMA, POOL_ROLE, TENANTS_ROLE, WRITERS_ROLE } from "../names.ts";
import { TEMP_FILE_LIMIT } from "../tenant-role.ts";
import { DOOR_HASH } from "./expected-walls.ts";
import { NAMED_OBJECTS } from "./proof-tables.ts";
import { catalogue, described, hashOf, listed, type Rule, type RulePlace } from "./rule.ts";

const everywhere = { place: "both", scope: "tenant" } as const;

/** What is set for a tenant's role: names of settings, and an expression for the value. */
const SETTINGS_SHARED: readonly (readonly [string, string])[] = [
  ["app.tenant_id", "t.name"],
  ["temp_file_limit", quoteLiteral(TEMP_FILE_LIMIT)],
];
const SETTINGS_DEDICATED = SETTINGS_SHARED.slice(0, 1);
/** Settings by which a login would become somebody else, or run what is not the server's. */
const DANGEROUS = ["local_preload_libraries", "role", "session_preload_libraries"];
/** Only a superuser could have made one of these. */
const SUPERUSERS = ["superuser", "superuser-backend", "sighup", "postmaster"];

function settings(place: Exclude<RulePlace, "both">): Rule {
  const expected = place === "shared" ? SETTINGS_SHARED : SETTINGS_DEDICATED;
  const names = listed(expected.map(([name]) => name));
  const pairs = expected.map(([name, value]) => `(${quoteLiteral(`${name}=`)} || ${value})`);
  return {
    place,
    scope: "tenant",
    id: "role.settings",
    subject: "settings of the role",
    sentence: "The platform's settings of the role are as it made them, and no other is unsafe.",
    sql: `
      select t.name as tenant, exists (
          select from pg_catalog.pg_db_role_setting s
          where s.setrole = t.role and s.setdatabase = 0
            and s.setconfig @> array[e.pair]) as held,
        'setting ' || e.pair as name
      from tenants t cross join lateral pg_catalog.unnest(array[${pairs.join(", ")}]) e(pair)
      union all
      select t.name, case
          when pair = any (array[${pairs.join(", ")}]) then true
          else pg_catalog.split_part(pair, '=', 1) not in (${names}, ${listed(DANGEROUS)})
            and not exists (select from pg_catalog.pg_settings g
              where g.name = pg_catalog.split_part(pair, '=', 1)
                and g.context in (${listed(SUPERUSERS)})) end,
        'setting ' || pg_catalog.split_part(pair, '=', 1)
      from tenants t join pg_catalog.pg_db_role_setting s on s.setrole = t.role,
        pg_catalog.unnest(s.setconfig) pair
      where not (s.setdatabase = 0 and pair = any (array[${pairs.join(", ")}]))`,
  };
}

const optionOf = (name: string) => `pg_catalog.to_jsonb(m) ->> '${name}_option'`;
const groupRole = `(select oid from pg_catalog.pg_authid where rolname = '${TENANTS_ROLE}')`;
const writersRole = `(select oid from pg_catalog.pg_authid where rolname = '${WRITERS_ROLE}')`;
const poolRole = `(select oid from pg_catalog.pg_authid where rolname = '${POOL_ROLE}')`;

/** The function by which pooled requests come to a tenant; null where there is none. */
function doorOf(name: string): string {
  return `pg_catalog.to_regprocedure(pg_catalog.format(
    '${PLATFORM_SCHEMA}.%I(text, text, text[])', ${name}))::pg_catalog.oid`;
}

/**
 * Whether an object `o` is a function by which values of a tenant's range type are made: Postgres
 * makes those with the type, and gives them to the superuser whoever makes it.
 */
const MAKES_RANGES = `(o.classid = ${catalogue("pg_proc")} and o.owner = 10 and exists (
          select from pg_catalog.pg_depend d join pg_catalog.pg_type y on y.oid = d.refobjid
          where d.classid = o.classid and d.objid = o.objid and d.deptype = 'i'
            and d.refclassid = ${catalogue("pg_type")} and y.typowner = t.role
            and y.typtype in ('r', 'm')))`;

/** Whether a tenant has nothing in its schema and owns nothing but its door: no rule of reports. */
export const HOLDS_NOTHING: Rule = {
  ...everywhere,
  id: "holds_nothing",
  subject: "tenants",
  sentence: "The tenant holds nothing yet.",
  sql: `
    select t.name as tenant, not exists (
        select from pg_catalog.pg_depend d
        where d.refclassid = ${catalogue("pg_namespace")} and d.refobjid = t.schema)
      and not exists (
        select from links d
        where d.tenant = t.name and d.deptype = 'o' and not (d.classid = ${catalogue("pg_proc")}
            and d.dbid = (select b.oid from pg_catalog.pg_database b
              where b.datname = pg_catalog.current_database())
            and d.objid = ${doorOf("t.name")})) as held,
      t.name as name
    from tenants t`,
};

/** What has an owner and a schema is looked at by that; default privileges by their own rule. */
const NAMED = [...NAMED_OBJECTS.map((each) => each.catalogue), "pg_default_acl"].map(catalogue);
/** It owns neither of these, whoever may own what else. */
const OF_THE_CLUSTER = ["pg_database", "pg_tablespace", "pg_event_trigger", "pg_subscription"];

export const RULES_OF_ROLES: readonly Rule[] = [
  {
    ...everywhere,
    id: "role.present",
    subject: "tenants",
    sentence: "The tenant has its role and its schema.",
    sql: `
      select t.name as tenant, t.role is not null and t.schema is not null as held, t.name as name
      from tenants t`,
  },
  {
    ...everywhere,
    id: "role.attributes",
    subject: "roles",
    sentence: "The role has no right above those of a plain login.",
    sql: `
      select t.name as tenant, not (r.rolsuper or r.rolcreaterole or r.rolcreatedb
          or r.rolreplication or r.rolbypassrls) and r.rolinherit as held,
        'role ' || r.rolname as name
      from tenants t join pg_catalog.pg_authid r on r.oid = t.role`,
  },
  {
    ...everywhere,
    id: "role.memberships",
    subject: "memberships",
    sentence:
      "The role is in the group of all tenants, and in that of those whose writes are accepted " +
      "as long as they are; it cannot become either, and is in no other.",
    sql: `
      select t.name as tenant, m.roleid is not null and not m.admin_option
          and ${optionOf("set")} is distinct from 'true' as held,
        'member of ${TENANTS_ROLE}' as name
      from tenants t left join pg_catalog.pg_auth_members m
        on m.member = t.role and m.roleid = ${groupRole}
      union all
      select t.name, pg_catalog.has_schema_privilege(t.role, t.schema, 'create')
            is not distinct from case when t.schema is not null then m.roleid is not null end
          and not coalesce(m.admin_option, false)
          and ${optionOf("set")} is distinct from 'true',
        'member of ${WRITERS_ROLE}'
      from tenants t left join pg_catalog.pg_auth_members m
        on m.member = t.role and m.roleid = ${writersRole}
      union all
      select t.name, false, 'member of ' || pg_catalog.pg_get_userbyid(m.roleid)
      from tenants t join pg_catalog.pg_auth_members m on m.member = t.role
      where m.roleid not in (${groupRole}, ${writersRole})`,
  },
  {
    ...everywhere,
    id: "role.members",
    subject: "members",
    sentence: "Nobody may become the tenant.",
    sql: `
      select t.name as tenant, false as held,
        'member ' || pg_catalog.pg_get_userbyid(m.member) as name
      from tenants t join pg_catalog.pg_auth_members m on m.roleid = t.role`,
  },
  {
    place: "shared",
    scope: "tenant",
    id: "role.door",
    subject: "doors",
    sentence: "Pooled requests come to the tenant by the platform's own function, and they alone.",
    sql: `
      select t.name as tenant, p.oid is not null and p.proowner = t.role
          and p.prosecdef and p.pronargs = 3
          and p.proconfig = array[pg_catalog.format(
            'search_path=pg_catalog, %I, ${EXTENSIONS_SCHEMA}, pg_temp', t.name)]
          and ${hashOf("p.prosrc")} = '${DOOR_HASH}'
          and p.proacl is not null and not exists (
            select from pg_catalog.aclexplode(p.proacl) e
            where e.grantee not in (t.role, 10, ${poolRole})) as held,
        coalesce(${described(catalogue("pg_proc"), "p.oid")}, 'function of ' || t.name) as name
      from tenants t left join pg_catalog.pg_proc p on p.proname = t.name::pg_catalog.name
        and p.pronamespace = pg_catalog.to_regnamespace('${PLATFORM_SCHEMA}')`,
  },
  settings("shared"),
  settings("dedicated"),
  {
    ...everywhere,
    id: "role.connections",
    subject: "roles",
    sentence: "The role has the limit of connections of its plan.",
    sql: `
      select t.name as tenant, r.rolconnlimit >= 0
          and r.rolconnlimit = coalesce(t.connections, r.rolconnlimit) as held,
        'role ' || r.rolname as name
      from tenants t join pg_catalog.pg_authid r on r.oid = t.role`,
  },
  {
    ...everywhere,
    id: "ownership.schema",
    subject: "schemas",
    sentence: "The tenant's schema belongs to the platform.",
    sql: `
      select t.name as tenant, n.nspowner = 10 as held, 'schema ' || n.nspname as name
      from tenants t join pg_catalog.pg_namespace n on n.oid = t.schema`,
  },
  {
    ...everywhere,
    id: "ownership.inside",
    subject: "objects",
    sentence: "Everything in the tenant's schema is the tenant's.",
    ofHoldings: true,
    sql: `
      select t.name as tenant, o.owner = t.role or m.objid is not null or ${MAKES_RANGES} as held,
        ${described("o.classid", "o.objid")} as name
      from objects o join tenants t on t.schema = o.namespace
      left join members m on m.classid = o.classid and m.objid = o.objid`,
  },
  {
    place: "shared",
    scope: "tenant",
    id: "ownership.elsewhere",
    subject: "objects",
    sentence: "The tenant owns nothing outside of its schema but its door and temporary tables.",
    ofHoldings: true,
    sql: `
      select t.name as tenant, o.namespace = t.schema
          or pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
          or n.nspname = '${PLATFORM_SCHEMA}' and o.classid = ${catalogue("pg_proc")}
            and o.objid = ${doorOf("t.name")} as held,
        ${described("o.classid", "o.objid")} as name
      from objects o join tenants t on t.role = o.owner
      left join pg_catalog.pg_namespace n on n.oid = o.namespace
      union all
      select t.name, false, ${described("d.classid", "d.objid")}
      from tenants t join links d on d.tenant = t.name and d.deptype = 'o'
      where d.classid <> ${catalogue("pg_largeobject")}
        and not (d.classid = ${catalogue("pg_namespace")} and d.objid = t.schema)
        and (d.dbid not in (0, (select b.oid from pg_catalog.pg_database b
            where b.datname = pg_catalog.current_database()))
          or d.classid not in (${NAMED.join(", ")}))`,
  },
  {
    place: "dedicated",
    scope: "tenant",
    id: "ownership.cluster",
    subject: "objects",
    sentence: "The tenant owns no database, tablespace, event trigger or subscription.",
    ofHoldings: true,
    sql: `
      select t.name as tenant, false as held, ${described("d.classid", "d.objid")} as name
      from tenants t join links d on d.tenant = t.name and d.deptype = 'o'
      where d.classid in (${OF_THE_CLUSTER.map(catalogue).join(", ")})`,
  },
];
