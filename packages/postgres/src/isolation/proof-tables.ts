/** The tables that rules share: who is judged, and what belongs to them, each read once. */
import { quoteLiteral } from "../identifier.ts";
import { PLATFORM_SCHEMA } from "../names.ts";
import { POLICY_PREFIX } from "../wall-functions.ts";
import { catalogue } from "./rule.ts";
import { writtenExpression } from "./written-expression.ts";

export interface NamedObject {
  readonly catalogue: string;
  /** How the columns of the catalogue begin. */
  readonly prefix: string;
  /** Where it has a list of rights: a type is anybody's by default, and so is a routine. */
  readonly acl?: true;
  readonly where?: string;
}

/** The row type of a relation goes with it, but for rights that were granted on it alone. */
const NO_ROW_TYPE =
  "x.typtype in ('b', 'c', 'd', 'e', 'r', 'm') and not (x.typelem <> 0 and x.typcategory = 'A') " +
  "and (x.typrelid = 0 or x.typacl is not null or exists (select from pg_catalog.pg_class c " +
  "where c.oid = x.typrelid and c.relkind = 'c'))";

/** Whatever is in a schema and has an owner. */
export const NAMED_OBJECTS: readonly NamedObject[] = [
  {
    catalogue: "pg_class",
    prefix: "rel",
    acl: true,
    where: "x.relkind in ('r','p','v','m','f','S')",
  },
  { catalogue: "pg_proc", prefix: "pro", acl: true },
  { catalogue: "pg_type", prefix: "typ", acl: true, where: NO_ROW_TYPE },
  { catalogue: "pg_operator", prefix: "opr" },
  { catalogue: "pg_opclass", prefix: "opc" },
  { catalogue: "pg_opfamily", prefix: "opf" },
  { catalogue: "pg_collation", prefix: "coll" },
  { catalogue: "pg_conversion", prefix: "con" },
  { catalogue: "pg_statistic_ext", prefix: "stx" },
  { catalogue: "pg_ts_config", prefix: "cfg" },
  { catalogue: "pg_ts_dict", prefix: "dict" },
];

/** What a tenant owns, and what is in its schema, whosever it is. */
function objectsOf({ catalogue: name, prefix, acl, where }: NamedObject): string {
  return `
  select ${catalogue(name)} as classid, x.oid as objid, x.${prefix}owner as owner,
    x.${prefix}namespace as namespace,
    ${acl ? `x.${prefix}acl` : "null::pg_catalog.aclitem[]"} as acl
  from pg_catalog.${name} x
  where (x.${prefix}namespace in (select schema from tenants)
      or x.${prefix}owner in (select role from tenants))${where ? ` and ${where}` : ""}`;
}

/** What the policy of a tenant asks, as Postgres writes it out. */
const GUARD = `(( SELECT ${PLATFORM_SCHEMA}.current_tenant() AS current_tenant) = %L::text)`;
/** A policy is right when it lets through the tenant and nobody else, to read and to write. */
const RIGHT_POLICY = `
  pg_catalog.starts_with(p.polname::pg_catalog.text, ${quoteLiteral(POLICY_PREFIX)})
    and p.polpermissive and p.polcmd = '*' and p.polroles = array[0::pg_catalog.oid]
    and ${writtenExpression("p.polqual")} = r.guard
    and ${writtenExpression("p.polwithcheck")} = r.guard`;

/** Of what depends on a role, as many are looked at as come before the time that they take. */
const MOST_LINKS = 10_000;
const ROLES = catalogue("pg_authid");
const LARGE_OBJECTS = catalogue("pg_largeobject");

/** By the other index of what depends on roles; that the role is hidden keeps it from the first. */
function notLargeObjects(side: "<" | ">"): string {
  return `
    select s.* from pg_catalog.pg_shdepend s
    where s.dbid = any (array(
        select b.oid from pg_catalog.pg_database b union all select 0::pg_catalog.oid))
      and s.classid ${side} ${LARGE_OBJECTS} and s.refclassid = ${ROLES}
      and pg_catalog.oidlarger(s.refobjid, 0::pg_catalog.oid) = c.role`;
}

/**
 * What depends on a tenant's role: what it owns, and what was granted to it. It may own millions of
 * large objects, among which all else is found by what it is. Asked for a range, the index alone
 * can answer with the first.
 */
const LINKS = `
first_links as materialized (
  select t.name as tenant, t.role, t.schema, d.dbid, d.classid, d.objid, d.objsubid, d.deptype
  from tenants t cross join lateral (
    select s.* from pg_catalog.pg_shdepend s
    where s.refclassid = ${ROLES} and s.refobjid >= t.role and s.refobjid <= t.role
    order by s.refclassid, s.refobjid limit ${MOST_LINKS}
  ) d
),
links as materialized (
  select * from first_links
  union
  select c.*, d.dbid, d.classid, d.objid, d.objsubid, d.deptype
  from (
    select f.tenant, f.role, f.schema from first_links f
    group by f.tenant, f.role, f.schema having pg_catalog.count(*) = ${MOST_LINKS}
  ) c cross join lateral (${notLargeObjects("<")} union all ${notLargeObjects(">")}) d
)`;

/** `asked`: rows of a tenant's id and its limit of connections, null where that is unknown. */
export function tenantTables(asked: string): string {
  return `
with asked(name, connections) as materialized (${asked}),
tenants as materialized (
  select a.name, a.connections, r.oid as role, n.oid as schema
  from asked a
  left join pg_catalog.pg_authid r on r.rolname = a.name::pg_catalog.name
  left join pg_catalog.pg_namespace n on n.nspname = a.name::pg_catalog.name
),
${LINKS}`;
}

/** What belongs to them: continues the tables above. */
export const HOLDING_TABLES = `,
objects as materialized (${NAMED_OBJECTS.map(objectsOf).join("\n  union all")}
),
members as materialized (
  select d.classid, d.objid from pg_catalog.pg_depend d
  where d.deptype = 'e' and d.refclassid = ${catalogue("pg_extension")}
),
relations as materialized (
  select t.name as tenant, t.role, c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
    c.reloptions,
    pg_catalog.format('${GUARD}', t.name) as guard
  from tenants t join objects o on o.namespace = t.schema and o.classid = ${catalogue("pg_class")}
  join pg_catalog.pg_class c on c.oid = o.objid
),
policies as materialized (
  select r.oid as relation, p.polpermissive as permissive, ${RIGHT_POLICY} as "right"
  from relations r join pg_catalog.pg_policy p on p.polrelid = r.oid
)`;
