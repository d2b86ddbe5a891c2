/**
 * What the platform adds to shared tables, whatever was said of it: grants, policies, the column
 * that says whose a row is, and what is kept of values. What is right is not touched, so that
 * nobody waits for a lock for nothing.
 */
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import {
  HAS_RIGHT_GRANTS,
  IS_RIGHT_POLICY,
  KEPT_VALUES,
  SHARED_NAMESPACE,
  TENANT_COLUMN,
  TENANT_DEFAULT,
} from "./isolation/rules-of-shared-tables.ts";
import { writtenExpression } from "./isolation/written-expression.ts";
import { SHARED_ROLE, SHARED_SCHEMA, TENANTS_ROLE } from "./names.ts";
import { ONE_AT_A_TIME, POLICY_PREFIX, platform } from "./wall-functions.ts";

/** Where an instance says which changes of shared tables it has. */
export const CHANGES_TABLE = `${platform}.shared_table_changes`;

const role = quoteIdentifier(SHARED_ROLE);
const schema = quoteIdentifier(SHARED_SCHEMA);
const tenants = quoteIdentifier(TENANTS_ROLE);
const policy = quoteIdentifier(POLICY_PREFIX);
const column = quoteIdentifier(TENANT_COLUMN);

/** What shared tables stand on, made once at a time where it is missing. */
export const GROUND: readonly string[] = [
  ONE_AT_A_TIME,
  `do $role$ begin
    if not exists (select from pg_catalog.pg_roles where rolname = ${quoteLiteral(SHARED_ROLE)})
    then create role ${role} nologin; end if;
  end $role$`,
  `create schema if not exists ${schema}`,
  `grant usage, create on schema ${schema} to ${role}`,
  `grant usage on schema ${schema} to ${tenants}`,
  `create table if not exists ${CHANGES_TABLE} (number int primary key, name text not null unique,
    sha256 text not null, applied_at timestamptz not null default pg_catalog.now())`,
  `alter table ${CHANGES_TABLE} enable row level security`,
];

const GRANTS = `
  for it in
    select c.oid, c.relacl, c.relowner, pg_catalog.format('%s ${schema}.%I',
        case c.relkind when 'S' then 'sequence' else 'table' end, c.relname) as name,
      case c.relkind when 'S' then 'usage' else 'select, insert, update, delete' end as rights
    from pg_catalog.pg_class c
    where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind in ('r', 'S')
      and not ${HAS_RIGHT_GRANTS}
  loop
    for who in
      select distinct case g.grantee when 0 then 'public'
        else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) end
      from (
        select (pg_catalog.aclexplode(it.relacl)).grantee
        union select (pg_catalog.aclexplode(a.attacl)).grantee
        from pg_catalog.pg_attribute a where a.attrelid = it.oid
      ) g where g.grantee <> it.relowner
    loop
      execute pg_catalog.format('revoke all on %s from %s cascade', it.name, who);
    end loop;
    execute pg_catalog.format('grant %s on %s to ${tenants}', it.rights, it.name);
  end loop;`;

const IS_OWN = `${column} operator(pg_catalog.=) (select ${TENANT_DEFAULT})`;
/**
 * Conditions of the tenant that Postgres takes to be harmless are asked in the order of what they
 * cost, and EXPLAIN ANALYZE tells whether the policy was asked at all: of rows of others the tenant
 * would learn which have the values that it names. An array of one is taken to cost half of what a
 * comparison does, so it is asked first; the equality is what indexes are found and read by.
 */
const SEES = `${column} operator(pg_catalog.=) any (array[(select ${TENANT_DEFAULT})])
        and ${IS_OWN}`;

/** Of a table without the column, or with another of its name, the rules say so. */
const POLICIES = `
  for it in
    select c.oid, pg_catalog.format('${schema}.%I', c.relname) as name,
      c.relrowsecurity and c.relforcerowsecurity as forced,
      coalesce((select ${writtenExpression("d.adbin")}
        from pg_catalog.pg_attrdef d where d.adrelid = c.oid and d.adnum = a.attnum), '')
        as given
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = '${TENANT_COLUMN}'
    where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind = 'r' and a.attgenerated = ''
      and a.atttypid = 'pg_catalog.text'::pg_catalog.regtype
  loop
    for who in
      select p.polname from pg_catalog.pg_policy p
      where p.polrelid = it.oid and not ${IS_RIGHT_POLICY}
    loop
      execute pg_catalog.format('drop policy %I on %s', who, it.name);
    end loop;
    if not exists (select from pg_catalog.pg_policy p where p.polrelid = it.oid) then
      execute pg_catalog.format('create policy ${policy} on %s
        using (${SEES}) with check (${IS_OWN} and (select ${platform}.accepts_writes()))', it.name);
    end if;
    if not it.forced then
      execute pg_catalog.format(
        'alter table %s enable row level security, force row level security', it.name);
    end if;
    if it.given <> '${TENANT_DEFAULT}' then
      execute pg_catalog.format(
        'alter table %s alter column ${column} set default ${TENANT_DEFAULT}', it.name);
    end if;
  end loop;`;

const STATISTICS = `
  for it in
    select pg_catalog.format('%s ${schema}.%I alter column %s',
      case v.relkind when 'i' then 'index' else 'table' end, c.relname,
      case v.relkind when 'i' then v.attnum::pg_catalog.text
        else pg_catalog.quote_ident(v.attname) end) as what
    from (${KEPT_VALUES}) v join pg_catalog.pg_class c on c.oid = v.oid where not v.decided
  loop
    execute pg_catalog.format('alter %s set statistics 0', it.what);
  end loop;`;

export const KEEPING = `do $keep$
  declare it record; who text;
  begin ${GRANTS} ${POLICIES} ${STATISTICS} end $keep$`;

/**
 * Puts back what the platform added to the shared tables of an instance, where it has some. Safe to
 * repeat.
 */
export async function mendSharedTables(client: Client): Promise<void> {
  try {
    if (await hasSharedTables(client)) await client.query([...GROUND, KEEPING].join(";\n"));
  } catch (error) {
    throw databaseFault(error, "mend its shared tables");
  }
}

/** Tables and sequences on which somebody has other rights than the platform grants, if any. */
export async function listGranted(client: Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ readonly name: string }>(
    `select pg_catalog.format('%I.%I', '${SHARED_SCHEMA}', c.relname) as name
     from pg_catalog.pg_class c
     where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind in ('r', 'p', 'S')
       and not ${HAS_RIGHT_GRANTS} and (c.relacl is not null or exists (
         select from pg_catalog.pg_attribute a
         where a.attrelid = c.oid and a.attacl is not null))`,
  );
  return rows.map(({ name }) => name);
}

/** Whether a change of shared tables was ever applied. */
export async function hasSharedTables(client: Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `select where pg_catalog.to_regclass(${quoteLiteral(CHANGES_TABLE)}) is not null`,
  );
  return rowCount === 1;
}
