/** What of a client's messages the pooled port looks at. */
import type { ServerReport } from "@aerodb/postgres";
import { onlyTypes } from "../wire/frames.ts";
import { CLIENT, HEAD_BYTES, textAt } from "../wire/messages.ts";

/** A statement is kept to be prepared elsewhere; longer ones belong into a query. */
const MOST_PARSE_BYTES = 16 * 1024 * 1024;
const MOST_NAME_BYTES = 1_018;
/** With its NUL. */
const NAME_BYTES = MOST_NAME_BYTES + 1;
/** Of a query no more must be there before it goes on. */
export const READ_BYTES = 8_192;
const DEALLOCATE =
  /^\s*deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|(?!all\b)([a-z_][\w$]*))\s*;?\s*$/i;
/** A name in quotes, a comment up to the end of its line, or one that has none within. */
const COMMENT = /("(?:[^"]|"")*")|--[^\n\r]*|\/\*(?:(?!\/\*|\*\/)[\s\S])*\*\//g;
/** Of a text that may be a DEALLOCATE no more is looked at. */
const DEALLOCATE_BYTES = 8_192;

export const LOOKS_AT = onlyTypes(Object.values(CLIENT));
export const MAY_CHANGE = onlyTypes([
  ...[CLIENT.parse, CLIENT.bind, CLIENT.describe],
  ...[CLIENT.execute, CLIENT.close],
  // What comes before a goodbye goes on, and nothing behind it.
  CLIENT.terminate,
]);

/** A message that a direct connection would take, and the pooled port does not. */
export class TooLong extends Error {
  readonly report: ServerReport;

  constructor(what: string, most: string) {
    const message = `${what} may have at most ${most} on the pooled port: use the other one`;
    super(message);
    this.report = { severity: "FATAL", sqlState: "54000", message };
  }
}

/** How much of a message must be there. Throws for a name or a statement that is too long. */
export function bytesNeeded(type: number, length: number): number {
  switch (type) {
    case CLIENT.parse:
      if (length > MOST_PARSE_BYTES) throw new TooLong("a statement that is prepared", "16 MiB");
      return length;
    case CLIENT.describe:
    case CLIENT.close:
      if (length > HEAD_BYTES + 1 + NAME_BYTES) throw nameTooLong();
      return length;
    case CLIENT.bind:
      return Math.min(length, HEAD_BYTES + 2 * NAME_BYTES);
    case CLIENT.query:
      return Math.min(length, READ_BYTES);
    case CLIENT.execute:
      return Math.min(length, HEAD_BYTES + 1);
    default:
      return HEAD_BYTES;
  }
}

/**
 * The name in `DEALLOCATE name`, where a text is that and no more, comments aside; undefined for
 * any other. `at`: where it begins.
 */
export function deallocatedIn(message: Buffer, at: number): string | undefined {
  const end = message.indexOf(0, at);
  if (end < 0 || end - at > DEALLOCATE_BYTES) return undefined;
  const text = message.toString("utf8", at, end);
  if (!/deallocate/i.test(text)) return undefined;
  const [, quoted, plain] = DEALLOCATE.exec(withoutComments(text)) ?? [];
  return quoted?.replaceAll('""', '"') ?? plain?.toLowerCase();
}

/** Comments may be within comments. */
function withoutComments(text: string): string {
  const without = text.replace(COMMENT, (_, quoted?: string) => quoted ?? " ");
  return without === text ? text : withoutComments(without);
}

/** The name at a place. Throws for one that is too long, or has no end. */
export function requireName(message: Buffer, at: number) {
  const found = textAt(message, at);
  if ((found?.end ?? message.length) - at > NAME_BYTES) throw nameTooLong();
  if (found === undefined) throw new Error("a name without an end");
  return found;
}

function nameTooLong(): TooLong {
  return new TooLong("the name of a statement", `${MOST_NAME_BYTES.toLocaleString("en")} bytes`);
}
