/**
 * A tenant of the platform's own in every shared instance, which real tenants try to reach when
 * their walls are proven. No list takes it for a tenant, nobody can log in as it, and it holds
 * nothing that anybody would want.
 */
import type { Client } from "pg";
import { databaseFault } from "../database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "../identifier.ts";
import { TENANTS_ROLE } from "../names.ts";
import { ONE_AT_A_TIME, POLICY_PREFIX, platform } from "../wall-functions.ts";

/** Its role and its schema. */
export const CANARY = "aerodb_canary";
/** A table that every tenant may read and write, and whose policy lets through the canary alone. */
export const CANARY_TABLE = "canary";

const name = quoteIdentifier(CANARY);
const shown = `${platform}.${quoteIdentifier(CANARY_TABLE)}`;
/** Raised with each change of what is below. */
const MARK = "canary 1";

function policyOn(table: string): readonly string[] {
  const asked = `(select ${platform}.current_tenant())`;
  const own = `${asked} operator(pg_catalog.=) ${quoteLiteral(CANARY)}`;
  return [
    `alter table ${table} enable row level security`,
    `create policy ${quoteIdentifier(POLICY_PREFIX)} on ${table} for all to public ` +
      `using (${own}) with check (${own})`,
  ];
}

/** What is of a neighbour, made anew. As the canary itself what it is to own. */
const MAKING: readonly string[] = [
  `drop schema if exists ${name} cascade`,
  `drop table if exists ${shown} cascade`,
  `select pg_catalog.lo_unlink(l.oid) from pg_catalog.pg_largeobject_metadata l
     join pg_catalog.pg_roles r on r.oid = l.lomowner where r.rolname = ${quoteLiteral(CANARY)}`,
  `create schema ${name}`,
  `create table ${name}.kept (id int primary key, note text)`,
  ...policyOn(`${name}.kept`),
  `create view ${name}.seen with (security_invoker = true) as select * from ${name}.kept`,
  `create sequence ${name}.counted`,
  `create function ${name}.called() returns text language sql return 'sung'`,
  `create type ${name}.shaped as (id int)`,
  `insert into ${name}.kept values (1, 'sung')`,
  `alter table ${name}.kept owner to ${name}`,
  `alter view ${name}.seen owner to ${name}`,
  `alter sequence ${name}.counted owner to ${name}`,
  `alter function ${name}.called() owner to ${name}`,
  `revoke all on function ${name}.called() from public`,
  `alter type ${name}.shaped owner to ${name}`,
  `do $own$ begin execute pg_catalog.format('alter large object %s owner to ${name}',
     pg_catalog.lo_from_bytea(0, 'sung')); end $own$`,
  `create table ${shown} (id int primary key, note text)`,
  ...policyOn(shown),
  `insert into ${shown} values (1, 'sung')`,
  `grant select, insert on ${shown} to ${quoteIdentifier(TENANTS_ROLE)}`,
  `comment on schema ${name} is ${quoteLiteral(MARK)}`,
];

/** Makes the canary where there is none; one question when it is there. Safe to repeat and race. */
export async function ensureCanary(client: Client): Promise<void> {
  const marked =
    "select from pg_catalog.pg_namespace n " +
    `where n.nspname = ${quoteLiteral(CANARY)} ` +
    `and pg_catalog.obj_description(n.oid, 'pg_namespace') = ${quoteLiteral(MARK)}`;
  const role = `select from pg_catalog.pg_roles where rolname = ${quoteLiteral(CANARY)}`;
  try {
    if ((await client.query(marked)).rowCount === 1) return;
    await client.query(
      [
        ONE_AT_A_TIME,
        `do $role$ begin if not exists (${role}) then create role ${name} nologin; end if; ` +
          "end $role$",
        ...MAKING,
      ].join(";\n"),
    );
  } catch (error) {
    throw databaseFault(error, "make its canary");
  }
}
