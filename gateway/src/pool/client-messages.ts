/** What of a client's messages the pooled port looks at. */
import type { ServerReport } from "@aerodb/postgres";
import { onlyTypes } from "../wire/frames.ts";
import { CLIENT, HEAD_BYTES, textAt } from "../wire/messages.ts";

/** A statement is kept to be prepared elsewhere; longer ones belong into a query. */
const MOST_PARSE_BYTES = 16 * 1024 * 1024;
const NAME_BYTES = 1_024;
/** Of a query no more must be there before it goes on. */
export const READ_BYTES = 8_192;
const DEALLOCATE = new RegExp(
  [
    /^\s*deallocate\s+(?:prepare\s+)?/,
    /(?:"(?<quoted>(?:[^"]|"")+)"|(?!all\b)(?<plain>[a-z_][\w$]*))\s*;?\s*$/,
  ]
    .map(({ source }) => source)
    .join(""),
  "i",
);

export const LOOKS_AT = onlyTypes(Object.values(CLIENT));
export const MAY_CHANGE = onlyTypes([
  ...[CLIENT.parse, CLIENT.bind, CLIENT.describe],
  ...[CLIENT.execute, CLIENT.close],
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
      if (length > NAME_BYTES) throw new TooLong("the name of a statement", "1,018 bytes");
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
 * The name in `DEALLOCATE name`, where a text is that and no more; undefined for any other. `at`:
 * where it begins.
 */
export function deallocatedIn(message: Buffer, at: number): string | undefined {
  const end = message.indexOf(0, at);
  if (end < 0 || end - at > NAME_BYTES) return undefined;
  const { quoted, plain } = DEALLOCATE.exec(message.toString("utf8", at, end))?.groups ?? {};
  return quoted?.replaceAll('""', '"') ?? plain?.toLowerCase();
}

/** The text at a place. Throws when it has no end. */
export function requireText(message: Buffer, at: number) {
  const found = textAt(message, at);
  if (found === undefined) throw new Error("a name without an end");
  return found;
}
