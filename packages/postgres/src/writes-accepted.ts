/** The rights by which a tenant's writes are accepted, given and taken in one transaction. */
import type { TenantId } from "@aerodb/model";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { DATABASE, WRITERS_ROLE } from "./names.ts";
import { REFUSED_SINCE } from "./writes-wall.ts";

/**
 * Schemas `o` beside its own that the tenant of an instance of its own can have a right to create
 * in: `public`, and those that were made by it, or as a group that it is in.
 */
export const OTHER_SCHEMAS = "o.nspowner <> 10";

/** By way of a group or of PUBLIC too; what was given on goes with it. */
const CLOSINGS = `
  select distinct pg_catalog.format('revoke create on schema %I from %s cascade', o.nspname,
    case e.grantee when 0 then 'public'
      else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(e.grantee)) end)
  from pg_catalog.pg_namespace o cross join lateral pg_catalog.aclexplode(
    coalesce(o.nspacl, pg_catalog.acldefault('n', o.nspowner))) e
  join pg_catalog.pg_roles r on r.rolname = tenant
  where ${OTHER_SCHEMAS} and e.privilege_type = 'CREATE' and case e.grantee when 0 then true
    else pg_catalog.pg_has_role(r.oid, e.grantee, 'usage') end`;
const OPENINGS = `
  select pg_catalog.format('grant create on schema %I to %I', o.nspname, tenant)
  from pg_catalog.pg_namespace o
  where ${OTHER_SCHEMAS} and not pg_catalog.has_schema_privilege(tenant, o.oid, 'create')`;

/** A member that could become the group would own with all others what it makes as that. */
export function joining(group: string, member: string): string {
  const grant = `grant ${quoteIdentifier(group)} to ${member}`;
  const since16 = "pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000";
  return (
    `do $join$ begin if ${since16} then execute '${grant} with set false'; ` +
    `else ${grant}; end if; end $join$`
  );
}

/** Statements of the superuser. None touches what is in a schema. Safe to repeat. */
export function writesAccepted(
  tenantId: TenantId,
  { dedicated, accepted }: { readonly dedicated: boolean; readonly accepted: boolean },
): readonly string[] {
  const name = quoteIdentifier(tenantId);
  const [grant, to] = accepted ? ["grant", "to"] : ["revoke", "from"];
  const writers = quoteIdentifier(WRITERS_ROLE);
  const elsewhere = [
    `${grant} create on database ${quoteIdentifier(DATABASE)} ${to} ${name}`,
    `do $elsewhere$ declare tenant constant name := ${quoteLiteral(tenantId)}; it text;
    begin
      for it in ${accepted ? OPENINGS : CLOSINGS} loop execute it; end loop;
    end $elsewhere$`,
  ];
  return [
    `${grant} create on schema ${name} ${to} ${name}`,
    accepted ? joining(WRITERS_ROLE, name) : `revoke ${writers} from ${name}`,
    ...(dedicated ? elsewhere : []),
    accepted ? `comment on role ${name} is null` : noting(tenantId),
  ];
}

/** Since when: who began before may not have noticed. A repeat leaves the time as it is. */
function noting(tenantId: TenantId): string {
  return `do $note$ begin
    if not coalesce(pg_catalog.starts_with(pg_catalog.shobj_description((
        select oid from pg_catalog.pg_roles where rolname = ${quoteLiteral(tenantId)}),
        'pg_authid'), ${quoteLiteral(REFUSED_SINCE)}), false) then
      execute pg_catalog.format('comment on role ${quoteIdentifier(tenantId)} is %L',
        ${quoteLiteral(REFUSED_SINCE)} || extract(epoch from pg_catalog.clock_timestamp()));
    end if;
  end $note$`;
}
