/** The agent's directory: what belongs in it, and that only one agent uses it. */
import { chmodSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { canChangeOwner } from "@aerodb/postgres";
import { makeHome, openDatabase } from "@aerodb/runtime";

/** Everything the agent itself puts into its home; SQLite adds files beside its own. */
const OWN_ENTRIES: ReadonlySet<string> = new Set([
  "containers",
  "engines",
  "findings",
  "identity",
  "instances",
  "ledger.db",
  "limits",
  "lock.db",
  "mark",
  "root-password",
  "run",
  "samples.db",
  "sequence",
  "spares",
  "trash",
  "usage.db",
  "view",
  "warm.json",
]);

/** Whether an entry of the home is the agent's own. */
export function isOwnEntry(name: string): boolean {
  return OWN_ENTRIES.has(name.replace(/(-wal|-shm|-journal|\.new|\.try-.{6})$/, ""));
}

/** Removes what an agent left that was killed while it tried what its host can do. */
export function clearHome(home: string): void {
  const left = readdirSync(home).filter((name) => /\.try-.{6}$/.test(name) && isOwnEntry(name));
  for (const name of left) rmSync(join(home, name), { recursive: true, force: true });
}

/** Instances run as other users: they pass through the home to what is theirs, and list nothing. */
export function openHome(home: string): void {
  makeHome(home);
  chmodSync(home, canChangeOwner() ? 0o711 : 0o700);
}

/**
 * Holds the home until this process ends, however it ends. Waits a few seconds for a predecessor
 * that is about to end. Throws UNAVAILABLE when another agent uses it.
 */
export function lockHome(home: string): { release(): void } {
  const database = openDatabase(join(home, "lock.db"));
  try {
    database.exec("begin exclusive");
  } catch (error) {
    database.close();
    const message = `Another agent uses ${home}: stop it, or choose another home.`;
    throw new Fault("UNAVAILABLE", message, { cause: error });
  }
  return { release: () => database.close() };
}
