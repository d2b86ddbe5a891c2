/**
 * Takes back what was given away of a tenant of a shared instance, by whoever could: ownership of
 * what is in its schema, and rights on that; and what it was given of other tenants.
 */
import type { TenantId } from "@aerodb/model";
import { type Client, DatabaseError } from "pg";
import { databaseFault } from "../database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "../identifier.ts";
import { PLATFORM_SCHEMA, POOL_ROLE, TENANTS_ROLE, WRITERS_ROLE } from "../names.ts";
import { catalogue, IS_TENANT, listed } from "./rule.ts";

/** Each needs a lock of its own: one that somebody holds is not waited for. */
const LOCK_TIMEOUT_MS = 500;
const LOCK_NOT_AVAILABLE = "55P03";
/** With the most that can be in the way in one tenant it ends before anybody loses patience. */
const MOST_AT_ONCE = 200;

const KIND = `case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
  when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end`;
const QUALIFIED = (name: string) => `pg_catalog.format('%I.%I', n.nspname, ${name})`;
const OF_TENANTS = `n.nspname ~ ${IS_TENANT}`;

/** Who can have been given something: other tenants, and the roles that all are in. */
const OF_ALL = listed([TENANTS_ROLE, WRITERS_ROLE, POOL_ROLE]);
const TAKES = `(r.rolname ~ ${IS_TENANT} or r.rolname in (${OF_ALL}))`;

/** A sequence that belongs to a column goes with its table. */
const GIVEN_AWAY = `
  select pg_catalog.format('alter %s %s owner to %I', ${KIND}, ${QUALIFIED("c.relname")}, n.nspname)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_roles r on r.oid = c.relowner
  where n.nspname = tenant and r.rolname <> tenant and ${TAKES}
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not (c.relkind = 'S' and exists (
      select from pg_catalog.pg_depend d where d.classid = ${catalogue("pg_class")}
        and d.objid = c.oid and d.deptype in ('a', 'i')))
  union all
  select pg_catalog.format('alter routine %s owner to %I', p.oid::pg_catalog.regprocedure,
    n.nspname)
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_roles r on r.oid = p.proowner
  where n.nspname = tenant and r.rolname <> tenant and ${TAKES}
    and p.prokind <> 'a'`;

/**
 * What there are lists of rights of: whose it should be, whose it is, and whether it is anybody's
 * by default.
 */
const LISTS = `
  select n.nspname as owner, 'schema' as kind, pg_catalog.quote_ident(n.nspname) as name,
    n.nspacl as acl, n.nspowner as holder, false as open
  from pg_catalog.pg_namespace n where ${OF_TENANTS}
  union all
  select n.nspname, case c.relkind when 'S' then 'sequence' else 'table' end,
    ${QUALIFIED("c.relname")}, c.relacl, c.relowner, false
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where ${OF_TENANTS} and c.relacl is not null and c.relkind <> 'i'
  union all
  select n.nspname, 'table', ${QUALIFIED("c.relname")}, a.attacl, c.relowner, false
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where ${OF_TENANTS} and a.attacl is not null
  union all
  select case n.nspname when '${PLATFORM_SCHEMA}' then p.proname else n.nspname end, 'routine',
    p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proacl, p.proowner,
    n.nspname <> '${PLATFORM_SCHEMA}'
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where (${OF_TENANTS} or n.nspname = '${PLATFORM_SCHEMA}' and p.proname ~ ${IS_TENANT})
    and p.proacl is not null
  union all
  select n.nspname, 'type', ${QUALIFIED("t.typname")}, t.typacl, t.typowner, true
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where ${OF_TENANTS} and t.typacl is not null`;

/**
 * Of the tenant to anybody but itself and the platform, and of other tenants to it. What an owner
 * has goes over to the next one, and would be lost to that if it were taken.
 */
const GRANTED = `
  select distinct pg_catalog.format('revoke all on %s %s from %s cascade', l.kind, l.name,
    case e.grantee when 0 then 'public' else pg_catalog.quote_ident(g.rolname) end)
  from (${LISTS}) l cross join lateral pg_catalog.aclexplode(l.acl) e
  left join pg_catalog.pg_roles g on g.oid = e.grantee
  where e.grantee not in (10, l.holder) and not (l.open and e.grantee = 0)
    and g.rolname is distinct from l.owner
    and not (g.rolname is not distinct from '${POOL_ROLE}' and l.kind = 'routine')
    and (l.owner = tenant or g.rolname is not distinct from tenant)
  union all
  select pg_catalog.format('revoke grant option for all on schema %I from %I cascade', n.nspname,
    n.nspname)
  from pg_catalog.pg_namespace n where n.nspname = tenant and exists (
    select from pg_catalog.aclexplode(n.nspacl) e join pg_catalog.pg_roles g on g.oid = e.grantee
    where g.rolname = n.nspname and e.is_grantable)`;

/**
 * Runs no code of a tenant, and destroys nothing. What somebody holds locked is left as it is. Safe
 * to repeat.
 */
export async function takeBack(client: Client, tenantId: TenantId): Promise<void> {
  try {
    await client.query(takingBack(tenantId));
  } catch (error) {
    throw databaseFault(error, `take back what was given away of ${tenantId}`);
  }
}

/**
 * Of the tenant of an instance of its own: only what belongs to groups, by `REASSIGN OWNED`, which
 * fires nothing, or on 15 by `SET ROLE`. They own nothing else. Safe to repeat.
 */
export async function takeBackFromGroups(client: Client, tenantId: TenantId): Promise<void> {
  const groups = [TENANTS_ROLE, WRITERS_ROLE].map(quoteIdentifier).join(", ");
  try {
    await client.query(
      `set local lock_timeout = '${LOCK_TIMEOUT_MS}ms';
       reassign owned by ${groups} to ${quoteIdentifier(tenantId)}`,
    );
  } catch (error) {
    if (error instanceof DatabaseError && error.code === LOCK_NOT_AVAILABLE) return;
    throw databaseFault(error, `take back what groups own of ${tenantId}`);
  }
}

/** Ownership first: rights that were granted go over to the new owner. */
function takingBack(tenantId: TenantId): string {
  return `do $mend$
    declare
      tenant constant name := ${quoteLiteral(tenantId)};
      it text;
    begin
      set local lock_timeout = '${LOCK_TIMEOUT_MS}ms';
      for it in ${GIVEN_AWAY} limit ${MOST_AT_ONCE} loop
        begin
          execute it;
        exception when lock_not_available then null;
        end;
      end loop;
      for it in select * from (${GRANTED}) g limit ${MOST_AT_ONCE} loop
        begin
          execute it;
        exception when lock_not_available then null;
        end;
      end loop;
    end $mend$`;
}
