/**
 * The Postgres ports that every client is tried on, and a tenant for it to try them with. What a
 * port cannot keep between two transactions is said here, and asked where it matters.
 */
import { beforeAll, expect } from "vitest";
import type { Platform } from "../../platform.ts";

export interface ClientPort {
  readonly name: string;
  /** Whether settings, LISTEN, temporary tables and the like outlive a transaction. */
  readonly keepsSession: boolean;
  readonly numberOn: (platform: Platform) => number;
}

export const CLIENT_PORTS: readonly ClientPort[] = [
  { name: "session", keepsSession: true, numberOn: (platform) => platform.pgPort },
  { name: "pooled", keepsSession: false, numberOn: (platform) => platform.pgPooledPort },
];

export interface ClientTenant {
  readonly uri: string;
  /** The same, by the name that the certificate has. */
  readonly namedUri: string;
  /** File of the authority behind the certificate. */
  readonly caFile: string;
}

/** A tenant for the tests of a `describe`, by a port. */
export function useTenant(
  platform: () => Platform,
  name: string,
  port: ClientPort,
): () => ClientTenant {
  let tenant: ClientTenant | undefined;
  beforeAll(async () => {
    const asked = { name: `${name}-${port.name}`, plan: "pro" };
    const { connection } = await platform().createTenant(asked);
    const url = new URL(connection.uri);
    url.port = `${port.numberOn(platform())}`;
    const uri = url.href;
    url.hostname = "localhost";
    const [, caFile = ""] = /(\/\S+\.crt)/.exec(platform().output) ?? [];
    expect(caFile, "a CA file in what `up` printed").not.toBe("");
    tenant = { uri, namedUri: url.href, caFile };
  });
  return () => {
    if (tenant === undefined) throw new Error("The tenant was not created.");
    return tenant;
  };
}
