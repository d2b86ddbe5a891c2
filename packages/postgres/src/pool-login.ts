/**
 * The login of pooled requests. It owns nothing, is a member of no role and may do nothing but ask
 * at the doors of schema tenants, each of which wants to see its key.
 */
import { createHash, createHmac } from "node:crypto";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { DATABASE, POOL_ROLE } from "./names.ts";
import { scramVerifier } from "./scram.ts";
import { platform, requestKey } from "./wall-functions.ts";

/** Requests are short, and more at once than processors only wait for each other. */
const CONNECTION_LIMIT = 8;
/** A password of 256 random bits needs no stretching. */
const ITERATIONS = 1;

const role = quoteIdentifier(POOL_ROLE);

/**
 * The password of POOL_ROLE in every instance of a host. It follows from that of the superuser as
 * that of the meter does; whoever learns it learns neither.
 */
export function poolPassword(rootPassword: string): string {
  return createHmac("sha256", rootPassword).update("password of the pool").digest("base64url");
}

/** What an instance knows of the login: enough to recognise it, and not to be it. */
export interface PoolLogin {
  readonly verifier: string;
  /** SHA-256 of the password, which is the key to the doors as well. */
  readonly keyHash: string;
}

/** The same every time, so that templates are recognised. */
export async function poolLogin(rootPassword: string): Promise<PoolLogin> {
  const password = poolPassword(rootPassword);
  const salt = createHmac("sha256", password).update("salt").digest().subarray(0, 16);
  const verifier = await scramVerifier(password, { salt, iterations: ITERATIONS });
  return { verifier, keyHash: createHash("sha256").update(password).digest("hex") };
}

/** Makes the role where there is none: it cannot log in until it is given its verifier. */
export function poolRoleCreation(): readonly string[] {
  const found = `select from pg_catalog.pg_roles where rolname = ${quoteLiteral(POOL_ROLE)}`;
  return [
    `do $role$ begin if not exists (${found}) then ` +
      `create role ${role} nologin noinherit; end if; end $role$;`,
  ];
}

/** Lets the role log in and ask, once the platform's schema is there. Safe to repeat. */
export function poolRights({ verifier, keyHash }: PoolLogin): readonly string[] {
  const never = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls";
  const password = quoteLiteral(verifier);
  return [
    `alter role ${role} reset all;`,
    `alter role ${role} login noinherit ${never} connection limit ${CONNECTION_LIMIT} ` +
      `password ${password};`,
    `grant connect on database ${quoteIdentifier(DATABASE)} to ${role};`,
    `grant usage on schema ${platform} to ${role};`,
    requestKey(keyHash),
  ];
}
