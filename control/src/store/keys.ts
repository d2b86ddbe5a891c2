import { type Db, sql } from "@aerodb/db";
import type { KeyId } from "@aerodb/model";

/** A key of the API, without its secret. */
export interface Key {
  readonly id: KeyId;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: Date;
}

export async function insertKey(
  db: Db,
  key: {
    readonly id: KeyId;
    readonly name: string;
    readonly scopes: readonly string[];
    readonly sha256: Uint8Array;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<Key> {
  const [made] = await db.query<Key>(sql`
    with key as (
      insert into keys (id, name, sha256, scopes)
      values (${key.id}, ${key.name}, ${key.sha256}, ${key.scopes})
      returning id, name, scopes, created_at
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${key.principal}, 'key.create', id,
             json_build_object('name', name, 'scopes', scopes), ${key.eventRequestId}
        from key
    )
    select id, name, scopes, created_at as "createdAt" from key`);
  if (made === undefined) throw new Error("bug: an inserted key is no row");
  return made;
}

/** Every key in force, oldest first. */
export async function listKeys(db: Db): Promise<Key[]> {
  return db.query<Key>(sql`
    select id, name, scopes, created_at as "createdAt"
      from keys where revoked_at is null order by id`);
}

/** The key in force with this hash. */
export async function findKey(db: Db, sha256: Uint8Array): Promise<Key | undefined> {
  const [key] = await db.query<Key>(sql`
    select id, name, scopes, created_at as "createdAt"
      from keys where sha256 = ${sha256} and revoked_at is null`);
  return key;
}

/** False when no key of this id is in force. */
export async function revokeKey(
  db: Db,
  revocation: {
    readonly keyId: string;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<boolean> {
  const revoked = await db.query(sql`
    with key as (
      update keys set revoked_at = now()
       where id = ${revocation.keyId} and revoked_at is null
      returning id
    ), event as (
      insert into events (actor, kind, subject, request_id)
      select ${revocation.principal}, 'key.revoke', id, ${revocation.eventRequestId} from key
    )
    select id from key`);
  return revoked.length === 1;
}

/**
 * Makes the key with this hash the one bootstrap key. Repeatable, and safe among several controls.
 */
export async function putBootstrapKey(
  db: Db,
  key: { readonly id: KeyId; readonly sha256: Uint8Array },
): Promise<void> {
  await db.query(sql`
    update keys set revoked_at = now()
     where bootstrap and revoked_at is null and sha256 <> ${key.sha256}`);
  await db.query(sql`
    insert into keys (id, name, sha256, scopes, bootstrap)
    values (${key.id}, 'platform key', ${key.sha256}, '{platform:admin}', true)
    on conflict do nothing`);
}
