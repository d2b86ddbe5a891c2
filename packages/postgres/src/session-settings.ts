/** What makes a session of a pool one that another client may have. */
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";

export type SessionSettings = ReadonlyMap<string, string>;

/** Statements that make a session that has some settings have others. */
export function changeSessionSettings(wanted: SessionSettings, has: SessionSettings): string {
  const back = [...has.keys()].filter((name) => !wanted.has(name));
  const changed = [...wanted].filter(([name, value]) => has.get(name) !== value);
  return [
    ...back.map((name) => `reset ${quoteIdentifier(name)};`),
    ...changed.map(
      ([name, value]) =>
        `select pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false);`,
    ),
  ].join("");
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
