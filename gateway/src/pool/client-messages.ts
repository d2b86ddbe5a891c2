/** What of a client's messages the pooled port looks at. */
import type { ServerReport } from "@aerodb/postgres";
import { onlyTypes } from "../wire/frames.ts";
import { CLIENT, COPY_DATA, HEAD_BYTES, textAt } from "../wire/messages.ts";

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

const KNOWN = onlyTypes([...Object.values(CLIENT), COPY_DATA]);
/** What is of no known type must not reach a server, which would end, whoever has it by then. */
export const LOOKS_AT = KNOWN.map((_, type) => (type === COPY_DATA ? 0 : 1));
export const MAY_CHANGE = onlyTypes([
  ...[CLIENT.parse, CLIENT.bind, CLIENT.describe],
  ...[CLIENT.execute, CLIENT.close],
  // What comes before a goodbye goes on, and nothing behind it.
  CLIENT.terminate,
]);

export const CANCELLED: ServerReport = {
  severity: "ERROR",
  sqlState: "57014",
  message: "canceling statement due to user request: it waited for a server of the pool",
};

/** A message that ends its client. */
export class Refused extends Error {
  readonly report: ServerReport;

  constructor(sqlState: string, message: string) {
    super(message);
    this.report = { severity: "FATAL", sqlState, message };
  }
}

const VIOLATION: ServerReport = {
  severity: "FATAL",
  sqlState: "08P01",
  message: "invalid message on the pooled port",
};

/** What a client is told whose message could not be taken. */
export function reportOf(error: unknown): ServerReport {
  return error instanceof Refused ? error.report : VIOLATION;
}

/** Throws, in the words of Postgres, for what is no type of a message. */
export function requireKnown(type: number): void {
  if (KNOWN[type] !== 1) throw new Refused("08P01", `invalid frontend message type ${type}`);
}

/**
 * How much of a message must be there. Throws for a type that there is not, and a name or a
 * statement that is too long.
 */
export function bytesNeeded(type: number, length: number): number {
  requireKnown(type);
  switch (type) {
    case CLIENT.parse:
      if (length > MOST_PARSE_BYTES) throw tooLong("a statement that is prepared", "16 MiB");
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

/** The name at a place; undefined where it has no end. Throws for one that is too long. */
export function nameAt(message: Buffer, at: number) {
  const found = textAt(message, at);
  if ((found?.end ?? message.length) - at > NAME_BYTES) throw nameTooLong();
  return found;
}

function nameTooLong(): Refused {
  return tooLong("the name of a statement", `${MOST_NAME_BYTES.toLocaleString("en")} bytes`);
}

/** A direct connection would take it. */
function tooLong(what: string, most: string): Refused {
  const message = `${what} may have at most ${most} on the pooled port: use the other one`;
  return new Refused("54000", message);
}
