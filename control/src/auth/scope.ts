import { isId, type TenantId } from "@aerodb/model";

/** The rights a key can have. A tenant's own is written `tenant:<id>`. */
export const SCOPE_KINDS = ["platform:admin", "platform:read", "billing:read", "tenant"] as const;
export type ScopeKind = (typeof SCOPE_KINDS)[number];

/** One right of a key. */
export type Scope =
  | { readonly kind: Exclude<ScopeKind, "tenant"> }
  | { readonly kind: "tenant"; readonly tenantId: TenantId };

/** Reads a scope as it is stored; undefined for one that this version does not know. */
export function parseScope(text: string): Scope | undefined {
  const kind = SCOPE_KINDS.find((known) => known === text);
  if (kind !== undefined && kind !== "tenant") return { kind };
  const tenantId = text.startsWith("tenant:") ? text.slice("tenant:".length) : "";
  return isId("ten", tenantId) ? { kind: "tenant", tenantId } : undefined;
}
