/** Messages of the protocol by their type, and the few that the gateway writes itself. */
import { encodeMessage } from "@aerodb/postgres";

/** Of a type and a length. */
export const HEAD_BYTES = 5;

/** ASCII of what a client sends. */
export const CLIENT = {
  bind: 0x42,
  close: 0x43,
  copyDone: 0x63,
  copyFail: 0x66,
  describe: 0x44,
  execute: 0x45,
  flush: 0x48,
  functionCall: 0x46,
  parse: 0x50,
  query: 0x51,
  sync: 0x53,
  terminate: 0x58,
} as const;

/** Data of a client that copies in: any number of them come, and nothing is done about one. */
export const COPY_DATA = 0x64;

/** ASCII of what a server sends. */
export const SERVER = {
  parseComplete: 0x31,
  closeComplete: 0x33,
  commandComplete: 0x43,
  emptyQuery: 0x49,
  portalSuspended: 0x73,
  error: 0x45,
  copyIn: 0x47,
  parameterStatus: 0x53,
  ready: 0x5a,
} as const;

/** In ReadyForQuery: no transaction is open, or one that has failed. */
export const STATUS = { idle: 0x49, failed: 0x45 } as const;

/** In Close and Describe: what is meant is a statement, not a portal. */
export const STATEMENT = 0x53;

/** A statement that a server keeps for the sake of an answer: it is empty. */
const EMPTY_NAME = "aerodb_empty";
const NUL = Buffer.alloc(1);

export function encodeParse(name: string, body: Uint8Array): Buffer {
  return encodeMessage("P", textOf(name), body);
}

/** A Parse of a statement whose types of parameters are known. */
export function encodeTypedParse(statement: {
  readonly name: string;
  readonly text: string;
  readonly types: readonly number[];
}): Buffer {
  const { name, text, types } = statement;
  const count = Buffer.alloc(2);
  count.writeUInt16BE(types.length);
  const ids = Buffer.alloc(4 * types.length);
  for (const [at, type] of types.entries()) ids.writeUInt32BE(type, 4 * at);
  return encodeParse(name, Buffer.concat([textOf(text), count, ids]));
}

export function encodeCloseStatement(name: string): Buffer {
  return encodeMessage("C", Buffer.from("S"), textOf(name));
}

export function encodeDescribeStatement(name: string): Buffer {
  return encodeMessage("D", Buffer.from("S"), textOf(name));
}

export function encodeQuery(sql: string): Buffer {
  return encodeMessage("Q", textOf(sql));
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return encodeMessage("S", textOf(name), textOf(value));
}

export const SYNC = encodeMessage("S");
/** What a server says that waits for a question, outside of a transaction. */
export const READY_FOR_QUERY = encodeMessage("Z", Buffer.from("I"));
export const TERMINATE = encodeMessage("X");
export const COPY_FAIL = encodeMessage("f", Buffer.from("the client has ended its side\0"));
/** Answered by CloseComplete, whatever there is. */
export const CLOSE_NOTHING = encodeCloseStatement(EMPTY_NAME);
/** Answered by ParseComplete, after `CLOSE_NOTHING`. Text and no types of parameters. */
export const PARSE_NOTHING = encodeParse(EMPTY_NAME, Buffer.concat([NUL, Buffer.alloc(2)]));

/** The text that starts at an offset and ends in a NUL; undefined when none comes. */
export function textAt(
  bytes: Buffer,
  at: number,
): { readonly text: string; readonly end: number } | undefined {
  const end = bytes.indexOf(0, at);
  return end < 0 ? undefined : { text: bytes.toString("utf8", at, end), end: end + 1 };
}

function textOf(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}
