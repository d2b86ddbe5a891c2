/** Asks a server that waits for a query what its session keeps, and gives another one the same. */
import type { Duplex } from "node:stream";
import {
  MessageReader,
  parseSessionMemory,
  RECALL_SESSION,
  restoreSession,
  type SessionMemory,
} from "@aerodb/postgres";
import { encodeQuery, encodeTypedParse, SYNC } from "./messages.ts";
import { nextMessage, type Peer } from "./peer.ts";

/** A session that keeps more has its client connect anew. */
const MOST_BYTES = 1024 * 1024;
const ROW_HEAD_BYTES = 6;

/** What a client is told meanwhile, as it would be without us. */
type Tell = (bytes: Buffer) => void;

/** Undefined when the server does not say. Rejects with the signal's reason. */
export async function recallSession(
  stream: Duplex,
  tell: Tell,
  signal: AbortSignal,
): Promise<SessionMemory | undefined> {
  stream.write(encodeQuery(RECALL_SESSION));
  const peer = { stream, reader: new MessageReader(MOST_BYTES) };
  const answer = await answersOf(peer, 1, { tells: "ANS", tell, signal });
  return answer.row === undefined ? undefined : parseSessionMemory(answer.row);
}

/**
 * Gives a new session what another kept, and the Parse without a name that its client sent last.
 * False when the server refuses some of it. Rejects with the signal's reason.
 */
export async function restoreOn(
  peer: Peer,
  kept: { readonly memory: SessionMemory; readonly unnamed: Buffer | undefined },
  tell: Tell,
  signal: AbortSignal,
): Promise<boolean> {
  const { memory, unnamed } = kept;
  const queries = restoreSession(memory).map(encodeQuery);
  const parses = memory.statements.filter(({ bySql }) => !bySql).map(encodeTypedParse);
  // Queries forget the statement without a name.
  const last = unnamed === undefined ? [] : [unnamed];
  peer.stream.write(Buffer.concat([...queries, ...parses, ...last, SYNC]));
  // What it says of its settings the client has heard when it chose them.
  const answer = await answersOf(peer, queries.length + 1, { tells: "A", tell, signal });
  return answer.kind === "answered";
}

interface Answer {
  readonly kind: "answered" | "failed" | "lost";
  /** The first column of the last row. */
  readonly row?: string;
}

async function answersOf(
  peer: Peer,
  questions: number,
  how: { readonly tells: string; readonly tell: Tell; readonly signal: AbortSignal },
): Promise<Answer> {
  let left = questions;
  let failed = false;
  let row: string | undefined;
  while (left > 0) {
    const message = await nextMessage(peer, how.signal);
    if (message === undefined) return { kind: "lost" };
    const { type, payload, bytes } = message;
    if (how.tells.includes(type)) how.tell(bytes);
    if (type === "E") failed = true;
    if (type === "D") row = payload.toString("utf8", ROW_HEAD_BYTES);
    if (type === "Z") left -= 1;
  }
  const kind = failed ? "failed" : "answered";
  return row === undefined || failed ? { kind } : { kind, row };
}
