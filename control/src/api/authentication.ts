import type { Interceptor } from "@connectrpc/connect";
import { rowOf } from "../auth/authorisation.ts";
import { authorise, type NameOfTenant } from "../auth/authorise.ts";
import type { KeyRing } from "../auth/key-ring.ts";
import { principalKey } from "./caller.ts";

/** Finds out who calls and whether they may. */
export function authentication(keys: KeyRing, nameOf: NameOfTenant): Interceptor {
  return (next) => async (request) => {
    if (rowOf(request.method) === "public") return next(request);
    const key = bearerOf(request.header.get("authorization"));
    const principal = key === "" ? undefined : await keys.identify(key);
    if (principal !== undefined) request.contextValues.set(principalKey, principal.id);
    const message = request.stream ? undefined : request.message;
    await authorise({ method: request.method, principal, presented: key !== "", message }, nameOf);
    return next(request);
  };
}

/** The key of `Authorization: Bearer <key>`; empty when there is none. */
function bearerOf(header: string | null): string {
  return /^bearer +(\S+) *$/i.exec(header ?? "")?.[1] ?? "";
}
