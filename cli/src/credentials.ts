/**
 * Passwords of tenants that this command line created or rotated: the platform shows each just
 * once. Kept in one file that only its owner can read.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "@aerodb/model";
import { z } from "zod";
import { credentialsPath } from "./up/home-paths.ts";
import { readSecret, writeSecret } from "./up/secret-file.ts";

const schema = z.record(z.string(), z.object({ name: z.string(), uri: z.string() }));

type Credentials = z.infer<typeof schema>;

export interface KnownTenant {
  readonly tenantId: string;
  readonly name: string;
  /** With the password. */
  readonly uri: string;
}

export function keepCredentials(home: string, { tenantId, name, uri }: KnownTenant): void {
  write(home, { ...read(home), [tenantId]: { name, uri } });
}

export function findCredentials(home: string, tenantId: string): string | undefined {
  return read(home)[tenantId]?.uri;
}

/** Forgets a tenant that is no more. Repeating it has no further effect. */
export function forgetCredentials(home: string, tenantId: string): void {
  const { [tenantId]: gone, ...others } = read(home);
  if (gone !== undefined) write(home, others);
}

function read(home: string): Credentials {
  const path = credentialsPath(home);
  const text = readSecret(path);
  if (text === undefined) return {};
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new Fault("UNAVAILABLE", `${path} is damaged: move it away.`, { cause: error });
  }
}

function write(home: string, credentials: Credentials): void {
  const path = credentialsPath(home);
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  writeSecret(path, JSON.stringify(credentials, undefined, 2));
}
