/** Has the platform's own triggers and functions of an instance stand again. */
import type { Client } from "pg";
import { databaseFault } from "../database-fault.ts";
import { EXTENSION_TRIGGER } from "../extension-wall.ts";
import { quoteLiteral } from "../identifier.ts";
import { PLATFORM_SCHEMA } from "../names.ts";
import { platform } from "../wall-functions.ts";
import { DEFAULTS_AS_NEW } from "../walls.ts";

/** By these the walls are known to be other than they were made. */
const WALLS = [
  ...["instance.event_triggers", "instance.functions"],
  ...["instance.databases", "instance.writing_functions"],
];

/**
 * Switches on again what keeps extensions to the list, and has the rest made anew: who raises walls
 * next finds no mark that says that they stand. `broken`: rules that do not hold. Safe to repeat.
 */
export async function mendPlatform(client: Client, broken: readonly string[]): Promise<void> {
  if (broken.includes("instance.grants")) await client.query(DEFAULTS_AS_NEW);
  if (!broken.some((rule) => WALLS.includes(rule))) return;
  try {
    await client.query(`do $mend$ begin
      if exists (select from pg_catalog.pg_event_trigger
          where evtname = '${EXTENSION_TRIGGER}' and evtenabled not in ('O', 'A')) then
        alter event trigger ${EXTENSION_TRIGGER} enable;
      end if;
    end $mend$`);
    await client.query(`do $mend$ begin
      if exists (select from pg_catalog.pg_namespace
          where nspname = ${quoteLiteral(PLATFORM_SCHEMA)} and nspowner = 10) then
        comment on schema ${platform} is null;
      end if;
    end $mend$`);
  } catch (error) {
    throw databaseFault(error, "mend the walls of the instance");
  }
}
