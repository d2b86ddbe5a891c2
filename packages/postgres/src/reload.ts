/** Tells a running server to read its configuration again, and asks what that came to. */
import { Fault } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";

const RELOAD_DEADLINE_MS = 10_000;
const LONGEST_PAUSE_MS = 50;

/**
 * Postgres goes on calling a setting pending that was put into the file and taken out again, with
 * no restart between: neither does the file name it then, nor did the server ever have it of there.
 */
const WAITING = `
  select s.name from pg_catalog.pg_settings s
   where s.pending_restart
     and (s.source = 'configuration file'
          or exists (select from pg_catalog.pg_file_settings f where f.name = s.name))
   order by s.name`;

/**
 * Returns the names of the settings that wait for a restart, once the server has read its files.
 * Safe to repeat. Throws UNAVAILABLE with the line that the server could not read.
 */
export async function reloadConfiguration(client: Client): Promise<readonly string[]> {
  try {
    const before = await loadedAt(client);
    await client.query("select pg_catalog.pg_reload_conf()");
    await untilLoaded(client, before);
    await requireReadable(client);
    const { rows } = await client.query<{ name: string }>(WAITING);
    return rows.map(({ name }) => name);
  } catch (error) {
    throw databaseFault(error, "read its configuration again");
  }
}

/** The server tells its sessions after it has read the files itself: this one has heard then. */
async function untilLoaded(client: Client, before: string): Promise<void> {
  const start = monotonicMs();
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    if ((await loadedAt(client)) !== before) return;
    if (monotonicMs() - start > RELOAD_DEADLINE_MS) {
      const sentence = "Waited too long for the server to read its configuration again.";
      throw new Fault("OPERATION_TIMED_OUT", sentence);
    }
    await sleep(pauseMs);
  }
}

async function loadedAt(client: Client): Promise<string> {
  const { rows } = await client.query<{ at: string }>(
    "select extract(epoch from pg_catalog.pg_conf_load_time())::text as at",
  );
  return rows[0]?.at ?? "";
}

/** One bad line and the server takes in nothing of a file: it says so nowhere else. */
async function requireReadable(client: Client): Promise<void> {
  const { rows } = await client.query<{ place: string; error: string }>(
    `select f.sourceline || coalesce(' (' || f.name || ')', '') as place, f.error
       from pg_catalog.pg_file_settings f
      where f.error is not null
        and not exists (select from pg_catalog.pg_settings s
                         where s.name = f.name and s.pending_restart)
      limit 1`,
  );
  const [wrong] = rows;
  if (wrong === undefined) return;
  throw new Fault(
    "UNAVAILABLE",
    `The server refuses line ${wrong.place} of its configuration: ${wrong.error}.`,
  );
}
