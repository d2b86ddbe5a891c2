/** Takes back from a tenant's role and schema what should never have come to them. */
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { databaseFault } from "../database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "../identifier.ts";
import { ROOT_ROLE, TENANTS_ROLE, WRITERS_ROLE } from "../names.ts";

/** What `ensureTenant` decides. */
const GROUPS = [TENANTS_ROLE, WRITERS_ROLE].map(quoteLiteral).join(", ");

/**
 * Memberships, members and the owner of the schema; `ensureTenant` makes right the rest of a role.
 * Touches no object of the tenant. Safe to repeat.
 */
export async function mendTenant(client: Client, tenantId: TenantId): Promise<void> {
  const role = quoteLiteral(tenantId);
  const schema = quoteIdentifier(tenantId);
  try {
    await client.query(`do $mend$
      declare it text;
      begin
        for it in
          select pg_catalog.format('revoke %I from %I', g.rolname, m.rolname)
          from pg_catalog.pg_auth_members a
          join pg_catalog.pg_roles g on g.oid = a.roleid
          join pg_catalog.pg_roles m on m.oid = a.member
          where m.rolname = ${role} and g.rolname not in (${GROUPS})
            or g.rolname = ${role}
        loop
          execute it;
        end loop;
        if exists (select from pg_catalog.pg_namespace
            where nspname = ${role} and nspowner <> 10) then
          execute 'alter schema ${schema} owner to ${quoteIdentifier(ROOT_ROLE)}';
        end if;
      end $mend$`);
  } catch (error) {
    throw databaseFault(error, `mend ${tenantId}`);
  }
}
