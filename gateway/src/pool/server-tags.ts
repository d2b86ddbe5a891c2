/** What answers of a server tell of its session. */

/** After these, something stays in it. */
export const CHANGES_SESSION = /^(SET|RESET|LISTEN|LOAD|DECLARE CURSOR|DISCARD)\b/;
export const DROPS_STATEMENTS = /^(DEALLOCATE ALL|DISCARD ALL)\b/;
/** After these, statements may be gone or others be there, which the pool has not asked for. */
export const CHANGES_STATEMENTS = /^(PREPARE|DEALLOCATE|DISCARD|DO|CALL)\b/;
/** "No such statement", and "there is one already". */
export const BELIED: ReadonlySet<string> = new Set(["26000", "42P05"]);
