/** The server that tenants live in: who else is there, and what its settings and files say. */
import { EXTENSIONS_SCHEMA } from "../extension-wall.ts";
import { OF_NOBODY } from "../group-holdings.ts";
import { TENANT_HBA } from "../hba.ts";
import { quoteLiteral } from "../identifier.ts";
import { METERED_COLUMNS } from "../meter-login.ts";
import {
  DATABASE,
  METER_ROLE,
  PLATFORM_SCHEMA,
  POOL_ROLE,
  ROOT_ROLE,
  SHARED_ROLE,
  SHARED_SCHEMA,
  TENANTS_ROLE,
  WRITERS_ROLE,
} from "../names.ts";
import { LARGE_OBJECT_WRITERS } from "../writes-wall.ts";
import { CANARY, CANARY_TABLE } from "./canary.ts";
import { catalogue, described, IS_TENANT, listed, type Rule, roleName } from "./rule.ts";
import { SHARED_NAMESPACE } from "./rules-of-shared-tables.ts";

const everywhere = { place: "both", scope: "instance" } as const;
const thisDatabase =
  "(select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())";

/** What the platform sets for its database. */
const DATABASE_SETTINGS = [
  "log_min_messages=fatal",
  `search_path="$user", public, ${EXTENSIONS_SCHEMA}`,
];

/** Where the walls would be of no use. */
const SERVER_SETTINGS: readonly (readonly [string, string])[] = [
  ["allow_system_table_mods", "off"],
  ["event_triggers", "on"],
  ["listen_addresses", ""],
  ["lo_compat_privileges", "off"],
  ["session_replication_role", "origin"],
];

function databaseRights(place: "shared" | "dedicated"): Rule {
  const own = `or e.privilege_type = 'CREATE' and ${roleName("e.grantee")} ~ ${IS_TENANT}`;
  return {
    place,
    scope: "instance",
    id: "instance.databases",
    subject: "databases",
    sentence: "There is one database, the platform's, which only tenants and its own may enter.",
    sql: `
      select null::pg_catalog.text as tenant, d.datname = '${DATABASE}' and d.datdba = 10
          and not exists (
            select from pg_catalog.aclexplode(coalesce(d.datacl,
              pg_catalog.acldefault('d', d.datdba))) e
            where e.grantee <> 10 and not (e.grantee <> 0 and not e.is_grantable and (
              e.privilege_type = 'CONNECT'
                and ${roleName("e.grantee")} in (${listed([TENANTS_ROLE, METER_ROLE, POOL_ROLE])})
              or e.privilege_type = 'TEMPORARY' and ${roleName("e.grantee")} = '${WRITERS_ROLE}'
              ${place === "dedicated" ? own : ""}))) as held,
        'database ' || d.datname as name
      from pg_catalog.pg_database d`,
  };
}

function foreign(place: "shared" | "dedicated"): Rule {
  const names = [
    ["pg_foreign_data_wrapper", "fdwname"],
    ["pg_foreign_server", "srvname"],
    ["pg_subscription", "subname"],
    ...(place === "shared" ? [["pg_publication", "pubname"]] : []),
  ];
  return {
    place,
    scope: "instance",
    id: "instance.foreign",
    subject: "ways to other servers",
    sentence: "No foreign server, subscription or publication leads out of the instance.",
    sql: names
      .map(([from, name]) => {
        return `select null::pg_catalog.text as tenant, false as held,
          '${from} ' || x.${name} as name from pg_catalog.${from} x`;
      })
      .join(" union all "),
  };
}

/**
 * The roles there may be: names, whether each may log in, and whether it takes on what it is in.
 */
const OWN_ROLES: readonly (readonly [string, string])[] = [
  [ROOT_ROLE, "r.rolsuper"],
  [TENANTS_ROLE, "not r.rolcanlogin"],
  [WRITERS_ROLE, "not r.rolcanlogin"],
  [METER_ROLE, "true"],
  [POOL_ROLE, "not r.rolinherit"],
  [CANARY, "not r.rolcanlogin"],
  [SHARED_ROLE, "not r.rolcanlogin"],
];

const PLAIN =
  "not (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)";

function roles(place: "shared" | "dedicated"): Rule {
  const tenant =
    place === "shared"
      ? `r.rolname ~ ${IS_TENANT}`
      : "r.rolname::pg_catalog.text in (select name from tenants)";
  const cases = OWN_ROLES.map(([name, held]) => {
    const plain = name === ROOT_ROLE ? "" : ` and ${PLAIN}`;
    return `when '${name}' then ${held}${plain}`;
  });
  return {
    place,
    scope: "instance",
    id: "instance.roles",
    subject: "roles",
    sentence: "There are no roles but the platform's and those of its tenants.",
    sql: `
      select null::pg_catalog.text as tenant, case r.rolname ${cases.join("\n")}
          else ${tenant} end as held,
        'role ' || r.rolname as name
      from pg_catalog.pg_authid r where r.rolname !~ '^pg_'`,
  };
}

const MONITORED = listed(["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"]);
const MEASURES = listed(["pg_monitor", "pg_use_reserved_connections"]);

/** What was granted to those whose rights every tenant, meter or pooled request has. */
const GRANTED: readonly (readonly [string, string])[] = [
  [TENANTS_ROLE, `database ${DATABASE}`],
  [TENANTS_ROLE, `schema ${EXTENSIONS_SCHEMA}`],
  [TENANTS_ROLE, `schema ${PLATFORM_SCHEMA}`],
  [TENANTS_ROLE, `schema ${SHARED_SCHEMA}`],
  [TENANTS_ROLE, `table ${PLATFORM_SCHEMA}.${CANARY_TABLE}`],
  [WRITERS_ROLE, `database ${DATABASE}`],
  [METER_ROLE, `database ${DATABASE}`],
  [METER_ROLE, "function pg_stat_file(text,boolean)"],
  ...METERED_COLUMNS.map((name) => [METER_ROLE, `column ${name} of table pg_largeobject`] as const),
  [POOL_ROLE, `database ${DATABASE}`],
  [POOL_ROLE, `schema ${PLATFORM_SCHEMA}`],
];
/** The doors of tenants, by which pooled requests come in: each is judged with its tenant. */
const DOOR = `'^function ${PLATFORM_SCHEMA}[.]ten_[0-9a-z]{26}[(]text,text,text[[][]][)]$'`;
/** What makes large objects or adds to them. */
const WRITING_FUNCTION = quoteLiteral(`^function (${LARGE_OBJECT_WRITERS.join("|")})[(]`);
/** Shared tables and their sequences, which have a rule of their own. */
const IS_SHARED = `d.classid = ${catalogue("pg_class")} and exists (
  select from pg_catalog.pg_class s
  where s.oid = d.objid and s.relnamespace = ${SHARED_NAMESPACE})`;

const hbaRows = TENANT_HBA.map(
  ({ database, user, method }, index) => `(${index + 1}, '${database}', '${user}', '${method}')`,
).join(", ");

const RULES: readonly Rule[] = [
  {
    ...everywhere,
    id: "instance.memberships",
    subject: "memberships",
    sentence: "No role of the platform is in another but the meter in those that measure.",
    sql: `
      select null::pg_catalog.text as tenant, not m.admin_option and (
          b.rolname = 'pg_monitor' and g.rolname in (${MONITORED})
          or b.rolname = '${METER_ROLE}' and g.rolname in (${MEASURES})) as held,
        pg_catalog.format('%s in %s', b.rolname, g.rolname) as name
      from pg_catalog.pg_auth_members m
      join pg_catalog.pg_authid b on b.oid = m.member
      join pg_catalog.pg_authid g on g.oid = m.roleid
      where b.rolname !~ ${IS_TENANT} and g.rolname !~ ${IS_TENANT}`,
  },
  {
    ...everywhere,
    id: "instance.grants",
    subject: "grants",
    sentence: "The platform's roles were granted no more than they need.",
    sql: `
      with expected(role, name) as (values ${GRANTED.map((row) => `(${listed(row)})`).join(", ")})
      select null::pg_catalog.text as tenant, d.deptype = 'a' and (exists (
            select from expected e where e.role = r.rolname and e.name = x.name)
          or r.rolname = '${POOL_ROLE}' and x.name ~ ${DOOR}
          or r.rolname = '${WRITERS_ROLE}' and x.name ~ ${WRITING_FUNCTION}
          or r.rolname = '${TENANTS_ROLE}' and ${IS_SHARED}) as held,
        pg_catalog.format('%s to %s', x.name, r.rolname) as name
      from pg_catalog.pg_shdepend d join pg_catalog.pg_authid r on r.oid = d.refobjid
      cross join lateral (select ${described("d.classid", "d.objid", "d.objsubid")} as name) x
      where d.refclassid = ${catalogue("pg_authid")} and d.deptype in ('a', 'o')
        and not (d.deptype = 'o' and ${OF_NOBODY})
        and r.rolname in (${listed([TENANTS_ROLE, WRITERS_ROLE, METER_ROLE, POOL_ROLE])})`,
  },
  {
    ...everywhere,
    id: "instance.large_objects",
    subject: "columns",
    sentence: "Past their owners only the meter may see of large objects which there are.",
    sql: `
      select null::pg_catalog.text as tenant, not exists (
          select from pg_catalog.aclexplode(x.acl) e
          where e.grantee <> 10 and not (${roleName("e.grantee")} = '${METER_ROLE}'
            and e.privilege_type = 'SELECT' and not e.is_grantable
            and x.name in (${listed(METERED_COLUMNS)}))) as held,
        'pg_largeobject.' || x.name as name
      from (
        select '*' as name, relacl as acl from pg_catalog.pg_class
        where oid = ${catalogue("pg_largeobject")}
        union all
        select attname::pg_catalog.text, attacl from pg_catalog.pg_attribute
        where attrelid = ${catalogue("pg_largeobject")}) x`,
  },
  {
    ...everywhere,
    id: "instance.settings",
    subject: "settings",
    sentence: "Nothing that the walls rest on is switched off for the database or the server.",
    sql: `
      select null::pg_catalog.text as tenant, exists (
          select from pg_catalog.pg_db_role_setting s
          where s.setrole = 0 and s.setdatabase = ${thisDatabase}
            and s.setconfig @> array[e.pair]) as held,
        'setting ' || e.pair as name
      from pg_catalog.unnest(array[${listed(DATABASE_SETTINGS)}]) e(pair)
      union all
      select null, false, pg_catalog.format('setting %s of %s', pair,
        case s.setrole when 0 then 'the database' else ${roleName("s.setrole")} end)
      from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) pair
      where (s.setrole = 0
          or ${roleName("s.setrole")} in (${listed(OWN_ROLES.map(([name]) => name))}))
        and not (s.setrole = 0 and s.setdatabase = ${thisDatabase}
          and pair in (${listed(DATABASE_SETTINGS)}))
      union all
      select null, g.setting = e.value, 'setting ' || e.name
      from (values ${SERVER_SETTINGS.map((row) => `(${listed(row)})`).join(", ")}) e(name, value)
      join pg_catalog.pg_settings g on g.name = e.name`,
  },
  {
    ...everywhere,
    id: "instance.parameters",
    subject: "grants of parameters",
    sentence: "Nobody was granted a setting of the server.",
    sql: `
      select null::pg_catalog.text as tenant, not exists (
          select from pg_catalog.aclexplode(x.paracl) e where e.grantee <> 10) as held,
        'parameter ' || x.parname as name
      from pg_catalog.pg_parameter_acl x`,
  },
  {
    ...everywhere,
    id: "instance.hba",
    subject: "lines of pg_hba.conf",
    sentence: "Who may come in is what the platform wrote, line by line.",
    sql: `
      with expected(number, database, role, method) as (values ${hbaRows}),
      found as (
        select pg_catalog.row_number() over (order by line_number) as number, *
        from pg_catalog.pg_hba_file_rules
      )
      select null::pg_catalog.text as tenant, coalesce(f.error is null and f.type = 'local'
          and f.database = array[e.database] and f.user_name = array[e.role]
          and f.auth_method = e.method and f.options is null, false) as held,
        'line ' || coalesce(f.line_number, e.number) as name
      from expected e full join found f on f.number = e.number`,
  },
  {
    ...everywhere,
    id: "instance.tablespaces",
    subject: "tablespaces",
    sentence: "Nobody may put anything into a tablespace by name.",
    sql: `
      select null::pg_catalog.text as tenant, x.spcowner = 10 and not exists (
          select from pg_catalog.aclexplode(x.spcacl) e where e.grantee <> 10) as held,
        'tablespace ' || x.spcname as name
      from pg_catalog.pg_tablespace x`,
  },
];

export const RULES_OF_SERVER: readonly Rule[] = [
  databaseRights("shared"),
  databaseRights("dedicated"),
  foreign("shared"),
  foreign("dedicated"),
  roles("shared"),
  roles("dedicated"),
  ...RULES,
];
