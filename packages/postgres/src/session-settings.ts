/** What makes a session of a pool one that another client may have. */
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";

export type SessionSettings = ReadonlyMap<string, string>;

/** Statements that make a session that has some settings have others. */
export function changeSessionSettings(wanted: SessionSettings, has: SessionSettings): string {
  const back = [...has.keys()].filter((name) => !wanted.has(name));
  const changed = [...wanted].filter(([name, value]) => has.get(name) !== value);
  return [
    ...back.map((name) => `reset ${quoteIdentifier(name)};`),
    applySettings(new Map(changed), "session"),
  ].join("");
}

/** Statements that have a session have some settings, as long as it or as the open transaction. */
export function applySettings(settings: SessionSettings, lasts: "session" | "transaction"): string {
  const local = lasts === "transaction";
  return [...settings]
    .map(([name, value]) => `${quoteLiteral(name)}, ${quoteLiteral(value)}, ${local}`)
    .map((what) => `select pg_catalog.set_config(${what});`)
    .join("");
}

/** What ends a transaction that nobody ends. */
export const ROLLBACK = "rollback";
/** What forgets statements that were prepared, by SQL as well. */
export const FORGET_STATEMENTS = "deallocate all";
/**
 * What undoes all that a session keeps but its prepared statements, which cost time to make anew.
 * `DISCARD ALL` is all of this and them.
 */
export const RESET_SESSION =
  "reset session authorization; reset all; close all; unlisten *; " +
  "select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences";
