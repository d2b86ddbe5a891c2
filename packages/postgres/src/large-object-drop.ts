/**
 * Dropping the large objects of a tenant: there may be millions, each needs a lock of its own, and
 * the table of locks is one for all. So they go in small transactions, in one pass by their ids.
 */
import { type Client, DatabaseError } from "pg";
import { quoteIdentifier } from "./identifier.ts";

/** More than so many are not dropped with all else in one transaction. */
const FEW = 256;
/** Of the table of locks, in one transaction: the rest is the neighbours'. */
const PART_OF_LOCKS = 1 / 8;
const MOST_AT_ONCE = 2_000;
export const LOCK_TABLE_FULL = "53200";

/** Whether a role has more than can go at once with all else. Looks at no more than that. */
export async function hasManyLargeObjects(client: Client, roleId: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_catalog.pg_shdepend d
      where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid = $1
        and d.classid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass and d.deptype = 'o'
      limit ${FEW + 1}`,
    [roleId],
  );
  return (rowCount ?? 0) > FEW;
}

/** Those of a role, with its own rights. Repeatable from any point. */
export async function dropLargeObjects(client: Client, role: string): Promise<void> {
  let size = await sizeOfBatch(client);
  let last = 0;
  for (;;) {
    try {
      const dropped = await dropAfter(client, role, { last, size });
      if (dropped === undefined) return;
      last = dropped;
    } catch (error) {
      const full = error instanceof DatabaseError && error.code === LOCK_TABLE_FULL;
      if (!full || size === 1) throw error;
      size = Math.ceil(size / 4);
    }
  }
}

async function sizeOfBatch(client: Client): Promise<number> {
  const { rows } = await client.query<{ readonly locks: number }>(
    `select pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int4
      * pg_catalog.current_setting('max_connections')::pg_catalog.int4 as locks`,
  );
  const fitting = Math.floor((rows[0]?.locks ?? 0) * PART_OF_LOCKS);
  return Math.max(1, Math.min(fitting, MOST_AT_ONCE));
}

/** Drops the next ones after an id, and returns the last of them; undefined when none are left. */
async function dropAfter(
  client: Client,
  role: string,
  from: { readonly last: number; readonly size: number },
): Promise<number | undefined> {
  const results: unknown = await client.query(
    [
      // What is lost with the server is dropped again: nobody hears of it before all is gone.
      "set local synchronous_commit = off",
      `set local session authorization ${quoteIdentifier(role)}`,
      `select pg_catalog.max(x.oid) as last, pg_catalog.sum(pg_catalog.lo_unlink(x.oid))
        from (select l.oid from pg_catalog.pg_largeobject_metadata l
          where l.oid > ${from.last} and l.lomowner = '${role}'::pg_catalog.regrole
          order by l.oid limit ${from.size}) x`,
    ].join(";\n"),
  );
  const answers = results as readonly { readonly rows: readonly { last: number | null }[] }[];
  return answers.at(-1)?.rows[0]?.last ?? undefined;
}
