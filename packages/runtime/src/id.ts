import { randomBytes } from "node:crypto";
import type { IdByPrefix } from "@aerodb/model";
import { typeid } from "typeid-js";

/** A new id, later in order than every id made before it: `ten_01jc7w4x9dep8t3w8rj0sxv5n2`. */
export function newId<Prefix extends keyof IdByPrefix>(prefix: Prefix): IdByPrefix[Prefix] {
  return `${prefix}_${typeid().toString()}` as IdByPrefix[Prefix];
}

/** A secret of 256 random bits, as 43 characters of base64url. */
export function newSecret(): string {
  return randomBytes(32).toString("base64url");
}
