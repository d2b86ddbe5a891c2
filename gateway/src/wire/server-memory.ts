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
  stream.write(Buffer.concat(RECALL_SESSION.map(encodeQuery)));
  const peer = { stream, reader: new MessageReader(MOST_BYTES) };
  const how = { tells: "ANS", tell, signal };
  const { lost, failed, rows } = await answersOf(peer, RECALL_SESSION.length, how);
  return lost || failed.length > 0 ? undefined : parseSessionMemory(rows);
}

/**
 * Gives a new session what another kept, and the Parse without a name that its client sent last. A
 * statement that can be prepared no longer is left out, for only its use would have failed. False
 * when the server refuses some of the rest. Rejects with the signal's reason.
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
  if (unnamed !== undefined) parses.push(unnamed);
  const synced = parses.flatMap((parse) => [parse, SYNC]);
  peer.stream.write(Buffer.concat([...queries, ...synced]));
  // What it says of its settings the client has heard when it chose them.
  const questions = queries.length + parses.length;
  const answer = await answersOf(peer, questions, { tells: "A", tell, signal });
  return !answer.lost && answer.failed.every((question) => question >= queries.length);
}

interface Answer {
  readonly lost: boolean;
  /** Numbers of the questions that failed, from 0. */
  readonly failed: readonly number[];
  /** The first column of each row. */
  readonly rows: readonly string[];
}

async function answersOf(
  peer: Peer,
  questions: number,
  how: { readonly tells: string; readonly tell: Tell; readonly signal: AbortSignal },
): Promise<Answer> {
  const failed: number[] = [];
  const rows: string[] = [];
  for (let question = 0; question < questions; ) {
    const message = await nextMessage(peer, how.signal);
    if (message === undefined) return { lost: true, failed, rows };
    const { type, payload, bytes } = message;
    if (how.tells.includes(type)) how.tell(bytes);
    if (type === "E") failed.push(question);
    if (type === "D") rows.push(payload.toString("utf8", ROW_HEAD_BYTES));
    if (type === "Z") question += 1;
  }
  return { lost: false, failed, rows };
}
