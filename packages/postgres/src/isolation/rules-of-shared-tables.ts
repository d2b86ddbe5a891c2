/**
 * The tables that all tenants of an instance share. A change of them that breaks one of these rules
 * is refused, so that they are what a proof looks for later and what an operator is told first.
 */
import { PLATFORM_SCHEMA, SHARED_ROLE, SHARED_SCHEMA, TENANTS_ROLE } from "../names.ts";
import { POLICY_PREFIX } from "../wall-functions.ts";
import { NAMED_OBJECTS, type NamedObject } from "./proof-tables.ts";
import { catalogue, described, type Rule } from "./rule.ts";
import { isExpressionOf, writtenExpression } from "./written-expression.ts";

const inShared = { place: "shared", scope: "instance" } as const;

export const TENANT_COLUMN = "tenant_id";
/** How Postgres writes out what a row is given where nobody names its tenant. */
export const TENANT_DEFAULT = `${PLATFORM_SCHEMA}.current_tenant()`;
const ASKED = `( SELECT ${TENANT_DEFAULT} AS current_tenant)`;
/** With %I for the column that names the tenant: who may write a row, and who may see it. */
const OWN = `(%1$I = ${ASKED})`;
const SEEING = `((%1$I = ANY (ARRAY[${ASKED}])) AND ${OWN})`;
const ACCEPTED = `${PLATFORM_SCHEMA}.accepts_writes()`;
const WRITING = `(${OWN} AND ( SELECT ${ACCEPTED} AS accepts_writes))`;

export const SHARED_NAMESPACE = `pg_catalog.to_regnamespace('${SHARED_SCHEMA}')::pg_catalog.oid`;
const roleNamed = (role: string) => `pg_catalog.to_regrole('${role}')::pg_catalog.oid`;
export const SHARED_OWNER = roleNamed(SHARED_ROLE);
const TENANTS = roleNamed(TENANTS_ROLE);

const name = described(catalogue("pg_class"), "c.oid");
const TABLES = `
  from pg_catalog.pg_class c
  where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind in ('r', 'p')`;

/** The number of the column of a relation that names the tenant; null where there is none. */
function tenantColumn(relation: string): string {
  return `(select a.attnum from pg_catalog.pg_attribute a where a.attrelid = ${relation}
    and a.attname = '${TENANT_COLUMN}' and not a.attisdropped)`;
}

/** Whether an expression of a policy `p` lets through the tenant of each row. */
function guards(tree: string, format: string, times: number): string {
  const number = tenantColumn("p.polrelid");
  const column = { relation: "p.polrelid", number, name: TENANT_COLUMN, format, times };
  return `coalesce(${isExpressionOf(tree, column)}, false)`;
}

/** Whether a row `p` of pg_policy lets through the tenant of each row and nobody else. */
export const IS_RIGHT_POLICY = `(p.polname = '${POLICY_PREFIX}' and p.polpermissive
  and p.polcmd = '*' and p.polroles = array[0::pg_catalog.oid]
  and ${guards("p.polqual", SEEING, 2)} and ${guards("p.polwithcheck", WRITING, 1)})`;

/** Whether tenants may read and write a row `c` of pg_class, or draw from it, and nobody more. */
export const HAS_RIGHT_GRANTS = `(
  coalesce((
    select pg_catalog.string_agg(case when e.grantee = ${TENANTS} and not e.is_grantable
        then e.privilege_type else 'other' end, ' ' order by e.privilege_type)
    from pg_catalog.aclexplode(c.relacl) e where e.grantee <> c.relowner), '')
    = case c.relkind when 'S' then 'USAGE' else 'DELETE INSERT SELECT UPDATE' end
  and not exists (
    select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attacl is not null))`;

/** Whether it was decided what is kept of the values of a row `a` of pg_attribute. */
const HAS_OWN_STATISTICS = "coalesce(a.attstattarget, -1) >= 0";

/** Columns of shared tables and expressions of their indexes, of which values could be kept. */
export const KEPT_VALUES = `
  select c.oid, c.relkind, a.attnum, a.attname, ${HAS_OWN_STATISTICS} as decided
  from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
  left join pg_catalog.pg_index i on i.indexrelid = c.oid
  where c.relnamespace = ${SHARED_NAMESPACE} and a.attnum > 0 and not a.attisdropped
    and (c.relkind = 'r' and a.attname <> '${TENANT_COLUMN}'
      or c.relkind = 'i' and i.indkey[a.attnum - 1] = 0)`;

/** By where it says that it is: what depends on a schema may be anybody's, anywhere. */
function othersIn({ catalogue: table, prefix, where }: NamedObject): readonly string[] {
  if (table === "pg_class") return [];
  return [
    `select null, false, ${described(catalogue(table), "x.oid")} from pg_catalog.${table} x
      where x.${prefix}namespace = ${SHARED_NAMESPACE}${where ? ` and ${where}` : ""}`,
  ];
}

export const RULES_OF_SHARED_TABLES: readonly Rule[] = [
  {
    ...inShared,
    id: "shared_tables.objects",
    subject: "objects",
    sentence:
      `The schema ${SHARED_SCHEMA} holds plain tables with their indexes and sequences: no ` +
      "partitions, children, triggers, rules, views, functions or types.",
    sql: `
      select null::pg_catalog.text as tenant, c.relkind in ('r', 'S') and c.reloftype = 0
          and not exists (select from pg_catalog.pg_inherits h
            where h.inhrelid = c.oid or h.inhparent = c.oid)
          and not exists (select from pg_catalog.pg_trigger t
            where t.tgrelid = c.oid and not t.tgisinternal)
          and not exists (select from pg_catalog.pg_rewrite w where w.ev_class = c.oid) as held,
        ${name} as name
      from pg_catalog.pg_class c
      where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind not in ('i', 'I')
      union all ${NAMED_OBJECTS.flatMap(othersIn).join(" union all ")}`,
  },
  {
    ...inShared,
    id: "shared_tables.owner",
    subject: "objects",
    sentence: `Shared tables belong to ${SHARED_ROLE}, which has nothing else and no other right.`,
    sql: `
      select null::pg_catalog.text as tenant, c.relowner = ${SHARED_OWNER} as held, ${name} as name
      from pg_catalog.pg_class c where c.relnamespace = ${SHARED_NAMESPACE}
      union all
      select null, case d.deptype
          when 'o' then d.classid = ${catalogue("pg_class")} and exists (
            select from pg_catalog.pg_class c
            where c.oid = d.objid and c.relnamespace = ${SHARED_NAMESPACE})
          else d.classid = ${catalogue("pg_namespace")} and d.objid = ${SHARED_NAMESPACE} end,
        ${described("d.classid", "d.objid", "d.objsubid")}
      from pg_catalog.pg_shdepend d
      where d.refclassid = ${catalogue("pg_authid")} and d.refobjid = ${SHARED_OWNER}
        and d.deptype in ('o', 'a')`,
  },
  {
    ...inShared,
    id: "shared_tables.tenant_id",
    subject: "shared tables",
    sentence: `Every shared table has a plain column ${TENANT_COLUMN} of the type text, not null.`,
    sql: `
      select null::pg_catalog.text as tenant, exists (
          select from pg_catalog.pg_attribute a
          left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
          where a.attrelid = c.oid and a.attnum = ${tenantColumn("c.oid")} and a.attnotnull
            and a.atttypid = 'pg_catalog.text'::pg_catalog.regtype and a.attgenerated = ''
            and ${writtenExpression("d.adbin")} = '${TENANT_DEFAULT}') as held,
        ${name} as name ${TABLES}`,
  },
  {
    ...inShared,
    id: "shared_tables.keys",
    subject: "keys",
    sentence:
      `Every shared table has a primary key; that and every other index is a B-tree that begins ` +
      `with ${TENANT_COLUMN}, and nothing is excluded by a constraint.`,
    sql: `
      select null::pg_catalog.text as tenant, exists (
          select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary) as held,
        'primary key of ' || ${name} as name ${TABLES}
      union all
      select null, coalesce(i.indkey[0] = ${tenantColumn("i.indrelid")}, false)
          and not i.indisexclusion and a.amname = 'btree',
        pg_catalog.format('%s on %s', ${described(catalogue("pg_class"), "i.indexrelid")},
          ${described(catalogue("pg_class"), "i.indrelid")})
      from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indrelid
      join pg_catalog.pg_class x on x.oid = i.indexrelid
      join pg_catalog.pg_am a on a.oid = x.relam
      where c.relnamespace = ${SHARED_NAMESPACE}`,
  },
  {
    ...inShared,
    id: "shared_tables.references",
    subject: "foreign keys",
    sentence:
      `Every foreign key of a shared table pairs ${TENANT_COLUMN} with ${TENANT_COLUMN} of ` +
      "another shared table, and no other table has one to it.",
    sql: `
      select null::pg_catalog.text as tenant, o.relnamespace = ${SHARED_NAMESPACE}
          and r.relnamespace = ${SHARED_NAMESPACE} and exists (
            select from pg_catalog.generate_subscripts(k.conkey, 1) at
            where k.conkey[at] = ${tenantColumn("k.conrelid")}
              and k.confkey[at] = ${tenantColumn("k.confrelid")}) as held,
        ${described(catalogue("pg_constraint"), "k.oid")} as name
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class o on o.oid = k.conrelid
      join pg_catalog.pg_class r on r.oid = k.confrelid
      where k.contype = 'f' and ${SHARED_NAMESPACE} in (o.relnamespace, r.relnamespace)`,
  },
  {
    ...inShared,
    id: "shared_tables.policy",
    subject: "shared tables",
    sentence:
      "Row level security is forced on every shared table, whose one policy shows to each " +
      "tenant its own rows.",
    sql: `
      select null::pg_catalog.text as tenant, c.relforcerowsecurity and coalesce((
          select pg_catalog.count(*) = 1 and pg_catalog.bool_and(${IS_RIGHT_POLICY})
          from pg_catalog.pg_policy p where p.polrelid = c.oid), false) as held,
        ${name} as name ${TABLES}`,
  },
  {
    ...inShared,
    id: "shared_tables.grants",
    subject: "shared tables and sequences",
    sentence: "Tenants may read and write rows of shared tables, draw from sequences, and no more.",
    sql: `
      select null::pg_catalog.text as tenant, ${HAS_RIGHT_GRANTS} as held, ${name} as name
      from pg_catalog.pg_class c
      where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind in ('r', 'p', 'S')`,
  },
  {
    ...inShared,
    id: "shared_tables.statistics",
    subject: "columns of shared tables",
    sentence:
      "Values of shared tables, from which plans would tell one tenant of another, are kept for " +
      "plans only where the operator has chosen that.",
    sql: `
      select null::pg_catalog.text as tenant, v.decided as held,
        ${described(catalogue("pg_class"), "v.oid", "v.attnum")} as name
      from (${KEPT_VALUES}) v`,
  },
];
