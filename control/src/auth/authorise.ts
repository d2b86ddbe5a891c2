import { Fault, isId, type TenantId } from "@aerodb/model";
import type { DescMethod } from "@bufbuild/protobuf";
import { rowOf } from "./authorisation.ts";
import type { Principal } from "./key-ring.ts";

/** One call to decide about. */
export interface CallToAuthorise {
  readonly method: DescMethod;
  readonly principal: Principal | undefined;
  /** Whether a key was presented at all, for the sentence. */
  readonly presented: boolean;
  readonly message: unknown;
}

/** The name of a tenant; undefined when there is no such tenant any more. */
export type NameOfTenant = (id: TenantId) => Promise<string | undefined>;

/**
 * Throws unless the call is allowed: UNAUTHENTICATED without a key we know, PERMISSION_DENIED
 * without the scope, and TENANT_NOT_FOUND for a tenant that is not the caller's own.
 */
export async function authorise(call: CallToAuthorise, nameOf: NameOfTenant): Promise<void> {
  const row = rowOf(call.method);
  if (row === "public") return;
  if (call.principal === undefined) throw unauthenticated(call.presented);
  const allowed = call.principal.scopes.filter(({ kind }) => row.includes(kind));
  if (allowed.length === 0) throw denied(call.method, row);
  if (allowed.some(({ kind }) => kind !== "tenant")) return;
  const own = allowed.flatMap((scope) => (scope.kind === "tenant" ? [scope.tenantId] : []));
  await requireOwn(tenantOf(call.message), own, nameOf);
}

/** The tenant a request names, by id or name. */
function tenantOf(message: unknown): string {
  const { tenant } = message as { readonly tenant?: unknown };
  return typeof tenant === "string" ? tenant : "";
}

async function requireOwn(
  named: string,
  own: readonly TenantId[],
  nameOf: NameOfTenant,
): Promise<void> {
  if (own.some((id) => id === named)) return;
  if (!isId("ten", named)) {
    for (const id of own) if ((await nameOf(id)) === named) return;
  }
  // The sentence of a tenant that does not exist: which names are taken is nobody's business.
  throw new Fault("TENANT_NOT_FOUND", `There is no tenant ${JSON.stringify(named)}.`);
}

function unauthenticated(presented: boolean): Fault {
  const sentence = presented
    ? "The API key is not known, or was revoked."
    : "Send an API key: `Authorization: Bearer <key>`.";
  return new Fault("UNAUTHENTICATED", sentence);
}

function denied(method: DescMethod, row: readonly string[]): Fault {
  return new Fault(
    "PERMISSION_DENIED",
    `${method.name} needs a key with the scope ${row.map(nameOfScope).join(" or ")}.`,
  );
}

function nameOfScope(kind: string): string {
  return kind === "tenant" ? "tenant:<id>" : kind;
}
