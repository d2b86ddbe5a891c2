/** Keys of the API. Only the SHA-256 of a key is kept. */
import { createHash } from "node:crypto";
import { Fault } from "@aerodb/model";
import { newId, newSecret } from "@aerodb/runtime";
import type { Key } from "../store/keys.ts";
import * as store from "../store/keys.ts";
import type { Caller, Control } from "./control.ts";
import { requireText } from "./text.ts";

export type { Key };

export interface NewKey {
  readonly name: string;
  readonly scopes: readonly string[];
}

const SCOPE = /^(platform:admin|platform:read|billing:read|tenant:ten_[0-9a-z]{26})$/;

/** Makes a key. `secret` is the whole key, `adb_key_<id>_<secret>`, shown once. */
export async function createKey(
  control: Control,
  caller: Caller,
  ask: NewKey,
): Promise<{ readonly key: Key; readonly secret: string }> {
  requireText("The name", ask.name);
  const unknown = ask.scopes.find((scope) => !SCOPE.test(scope));
  if (unknown !== undefined || ask.scopes.length === 0 || ask.name === "") {
    throw new Fault("INVALID_ARGUMENT", "A key needs a name and scopes that exist.");
  }
  const id = newId("key");
  const secret = `adb_${id}_${newSecret()}`;
  const key = await store.insertKey(control.database, {
    id,
    name: ask.name,
    scopes: [...new Set(ask.scopes)],
    sha256: sha256(secret),
    principal: caller.principal,
    eventRequestId: caller.requestId,
  });
  return { key, secret };
}

/** Every key in force, oldest first. */
export function listKeys(control: Control): Promise<readonly Key[]> {
  return store.listKeys(control.database);
}

/** Ends a key. KEY_NOT_FOUND when there is none in force. */
export async function revokeKey(control: Control, caller: Caller, keyId: string): Promise<void> {
  const revoked =
    /^key_[0-9a-z]{26}$/.test(keyId) &&
    (await store.revokeKey(control.database, {
      keyId,
      principal: caller.principal,
      eventRequestId: caller.requestId,
    }));
  if (revoked) return;
  throw new Fault("KEY_NOT_FOUND", `There is no key ${JSON.stringify(keyId)} in force.`);
}

/** The key in force that a caller presented; undefined when there is none. */
export function findKey(control: Control, presented: string): Promise<Key | undefined> {
  return store.findKey(control.database, sha256(presented));
}

/**
 * Makes the platform key that the configuration gives (any text) the one bootstrap key, with the
 * scope `platform:admin`. Another bootstrap key that was there before is revoked. Repeatable.
 */
export function ensureBootstrapKey(control: Control, platformKey: string): Promise<void> {
  return store.putBootstrapKey(control.database, { id: newId("key"), sha256: sha256(platformKey) });
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
