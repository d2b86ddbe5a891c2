import { type Database, type Db, sql, violates } from "@aerodb/db";

/**
 * Runs a statement that ends the operation under way on a tenant and begins another. It waits for
 * the counter's row, and an operation that began while it waited is not in its sight: then the
 * index of open operations refuses it, and it runs once more with the counter held from the start.
 */
export async function behindOthers<Value>(
  database: Database,
  write: (db: Db) => Promise<Value>,
): Promise<Value> {
  try {
    return await write(database);
  } catch (error) {
    if (!violates(error, "operations_open")) throw error;
  }
  return database.transaction(async (db) => {
    await db.query(sql`select generation from platform for update`);
    return write(db);
  });
}
