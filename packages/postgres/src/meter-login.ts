/**
 * The login that measures. It is no superuser and owns nothing: it reads the statistics views, the
 * catalogue, the sizes of files in the data directory, and which large objects there are.
 */
import { createHmac } from "node:crypto";
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { DATABASE, METER_ROLE } from "./names.ts";
import { scramVerifier } from "./scram.ts";

/** Two at once are enough; a third may still be on its way out. */
const CONNECTION_LIMIT = 4;
/** A password of 256 random bits needs no stretching. */
const ITERATIONS = 1;
/** Of pg_largeobject. */
export const METERED_COLUMNS: readonly string[] = ["loid", "ctid"];
/** From here on some connections can be kept for others than superusers. */
const RESERVED_SINCE = 16;

/**
 * The password of METER_ROLE in every instance of a host. It follows from that of the superuser,
 * so that templates, agents that share them and agents that start again agree on it; whoever
 * learns it learns nothing of the other.
 */
export function meterPassword(rootPassword: string): string {
  return createHmac("sha256", rootPassword).update("password of the meter").digest("base64url");
}

/** The same verifier every time, so that templates are recognised. */
export function meterVerifier(rootPassword: string): Promise<string> {
  const password = meterPassword(rootPassword);
  const salt = createHmac("sha256", password).update("salt").digest().subarray(0, 16);
  return scramVerifier(password, { salt, iterations: ITERATIONS });
}

/** Statements that make the role, for a data directory that has none yet. */
export function meterRoleCreation(major: number, verifier: string): readonly string[] {
  return [`create role ${quoteIdentifier(METER_ROLE)};`, ...meterRights(major, verifier)];
}

function meterRights(major: number, verifier: string): readonly string[] {
  const role = quoteIdentifier(METER_ROLE);
  const never = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls";
  const password = quoteLiteral(verifier);
  const limit = `connection limit ${CONNECTION_LIMIT}`;
  return [
    `alter role ${role} login inherit ${never} ${limit} password ${password};`,
    `grant connect on database ${quoteIdentifier(DATABASE)} to ${role};`,
    `grant pg_monitor to ${role};`,
    // A server whose tenants hold every connection is the one that needs to be looked at.
    ...(major >= RESERVED_SINCE ? [`grant pg_use_reserved_connections to ${role};`] : []),
    // Sizes from files: pg_relation_size would wait for a lock that a tenant holds on its table.
    // Without more rights it sees no file outside of the data directory.
    `grant execute on function pg_catalog.pg_stat_file(text, boolean) to ${role};`,
    // Whose large object a row is part of and where it lies; of what it says nothing.
    `grant select (${METERED_COLUMNS.join(", ")}) on pg_catalog.pg_largeobject to ${role};`,
  ];
}

/**
 * Makes the role in an instance that was cloned from a template without it, or makes it right.
 * Touches nothing of a tenant. Repeating it changes nothing.
 */
export async function ensureMeterRole(
  client: Client,
  options: { readonly major: number; readonly verifier: string },
): Promise<void> {
  const found = `select from pg_catalog.pg_roles where rolname = ${quoteLiteral(METER_ROLE)}`;
  const role = quoteIdentifier(METER_ROLE);
  try {
    await client.query(
      [
        `do $role$ begin if not exists (${found}) then create role ${role}; end if; end $role$;`,
        `alter role ${role} reset all;`,
        ...meterRights(options.major, options.verifier),
      ].join("\n"),
    );
  } catch (error) {
    throw databaseFault(error, `make ${METER_ROLE}`);
  }
}
