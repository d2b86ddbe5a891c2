/** What of a client's messages the pooled port looks at. */
import { onlyTypes } from "../wire/frames.ts";
import { CLIENT, HEAD_BYTES, textAt } from "../wire/messages.ts";

/** A statement is kept to be prepared elsewhere; longer ones belong into a query. */
const MOST_PARSE_BYTES = 16 * 1024 * 1024;
const NAME_BYTES = 1_024;
const READ_BYTES = 8_192;
/** What stays in a session without any answer telling of it; of blocks of code nothing is known. */
const LEAVES_SOMETHING =
  /\btemp(orary)?\b|\bpg_temp|set_config|advisory_lock|\bhold\b|\bdo\s*(\$|'|language)|\bcall\b/i;
/** No more is looked at of one statement. */
const LOOKED_AT_BYTES = 64 * 1024;

export const LOOKS_AT = onlyTypes(Object.values(CLIENT));
export const MAY_CHANGE = onlyTypes([
  ...[CLIENT.parse, CLIENT.bind, CLIENT.describe],
  ...[CLIENT.execute, CLIENT.close],
]);

/** How much of a message must be there. Throws for a name or a statement that is too long. */
export function bytesNeeded(type: number, length: number): number {
  switch (type) {
    case CLIENT.parse:
      if (length > MOST_PARSE_BYTES) throw new Error("a statement that is too long");
      return length;
    case CLIENT.describe:
    case CLIENT.close:
      if (length > NAME_BYTES) throw new Error("a name that is too long");
      return length;
    case CLIENT.bind:
      return Math.min(length, NAME_BYTES);
    case CLIENT.query:
      return Math.min(length, READ_BYTES);
    case CLIENT.execute:
      return Math.min(length, HEAD_BYTES + 1);
    default:
      return HEAD_BYTES;
  }
}

/**
 * Whether something of a text may stay that no answer tells of. `length`: of all of it; of what is
 * not looked at it may.
 */
export function leavesSomething(text: Buffer, length = text.length): boolean {
  if (length > Math.min(text.length, LOOKED_AT_BYTES)) return true;
  return LEAVES_SOMETHING.test(text.toString("latin1"));
}

/** The text at a place. Throws when it has no end. */
export function requireText(message: Buffer, at: number) {
  const found = textAt(message, at);
  if (found === undefined) throw new Error("a name without an end");
  return found;
}
