import { Fault } from "./fault.ts";

declare const checked: unique symbol;
/**
 * A name that can be a tenant's: 3–63 of `a-z0-9-`, starts with a letter, no trailing or double
 * hyphen.
 */
export type TenantName = string & { readonly [checked]: true };

/** Names the platform keeps for itself: they would read as its own under the base domain. */
const RESERVED: ReadonlySet<string> = new Set(
  (
    "admin aerodb agent api app auth billing blog console control dashboard db docs download " +
    "edge email ftp gateway grpc help host hosts imap internal localhost login mail metrics ns1 " +
    "ns2 platform pop postgres pg postgresql proxy public root security signup smtp ssl " +
    "static status support system template0 template1 tenant tenants webmail www"
  ).split(" "),
);

/** Reads a name a customer typed. Throws INVALID_TENANT_NAME with what is wrong. */
export function parseTenantName(text: string): TenantName {
  const wrong = whatIsWrong(text);
  if (wrong !== undefined) {
    throw new Fault("INVALID_TENANT_NAME", `The tenant name ${JSON.stringify(text)} ${wrong}.`);
  }
  return text as TenantName;
}

function whatIsWrong(text: string): string | undefined {
  if (text === "") return "is empty: give the tenant a name";
  if (text.length < 3 || text.length > 63) return "must have 3 to 63 characters";
  if (!/^[a-z]/.test(text)) return "must start with a lower-case letter";
  if (!/^[a-z0-9-]+$/.test(text)) return "may contain only a-z, 0-9 and hyphens";
  if (text.endsWith("-")) return "must not end with a hyphen";
  if (text.includes("--")) return "must not contain two hyphens in a row";
  if (RESERVED.has(text)) return "is reserved by the platform: choose another";
  return undefined;
}
