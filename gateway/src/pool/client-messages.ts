/** What of a client's messages the pooled port looks at. */
import { onlyTypes } from "../wire/frames.ts";
import { CLIENT, HEAD_BYTES, textAt } from "../wire/messages.ts";

/** A statement is kept to be prepared elsewhere; longer ones belong into a query. */
const MOST_PARSE_BYTES = 16 * 1024 * 1024;
const NAME_BYTES = 1_024;
const READ_BYTES = 2_048;
/** What stays in a session without any answer telling of it. */
const LEAVES_SOMETHING = /\b(temp|temporary|set_config|pg_(try_)?advisory_lock|hold)\b/i;

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

/** Whether something of the text of a query may stay that no answer tells of. */
export function leavesSomething(message: Buffer): boolean {
  return LEAVES_SOMETHING.test(message.toString("latin1"));
}

/** The text at a place. Throws when it has no end. */
export function requireText(message: Buffer, at: number) {
  const found = textAt(message, at);
  if (found === undefined) throw new Error("a name without an end");
  return found;
}
