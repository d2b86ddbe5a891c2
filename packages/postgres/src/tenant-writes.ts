import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";

/**
 * Cancels what tenants' sessions are doing in transactions that wrote something: their next
 * transaction begins under the settings that hold by now. One that is open between two statements
 * is not reached, and may write on until it ends.
 */
export async function cancelWrites(client: Client): Promise<void> {
  try {
    await client.query(
      `select pg_catalog.pg_cancel_backend(a.pid) from pg_catalog.pg_stat_activity a
        where a.backend_type = 'client backend' and a.backend_xid is not null
          and pg_catalog.starts_with(a.usename::pg_catalog.text, 'ten_')`,
    );
  } catch (error) {
    throw databaseFault(error, "cancel what its tenants write");
  }
}
