/** What the shell gets, so that scripts can tell one failure from another. */
import { Fault, type FaultKind } from "@aerodb/model";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unavailable: 5,
} as const;

/** A new kind of fault does not compile until it has an exit code. */
const OF_KIND: Record<FaultKind, number> = {
  invalid: EXIT.usage,
  unauthenticated: EXIT.refused,
  denied: EXIT.refused,
  not_found: EXIT.notFound,
  already_exists: EXIT.refused,
  wrong_state: EXIT.refused,
  superseded: EXIT.refused,
  over_quota: EXIT.refused,
  too_late: EXIT.unavailable,
  unavailable: EXIT.unavailable,
};

export function exitCodeOf(thrown: unknown): number {
  return thrown instanceof Fault ? OF_KIND[thrown.kind] : EXIT.failed;
}

/** For `--help`. */
export const EXIT_CODES_TEXT = `Exit codes:
  0  it worked
  1  it failed (for status and doctor: not ready, or something was found)
  2  the command line or a value in it is wrong
  3  there is no such thing
  4  refused: the key, a name that is taken, a state that does not allow it
  5  unavailable: nothing answers, no host has room, or a deadline passed`;
