/**
 * The frames of the protocol as bytes that pass by: a type, a length, and what follows. Only what
 * has to be read is kept until it is there; everything else goes on as it came.
 */
import { HEAD_BYTES } from "./messages.ts";

/** What Postgres takes at most. */
const MOST_BYTES = 0x4000_0000;
const NO_BYTES = Buffer.alloc(0);

/** What is done with frames. */
export interface FrameReader {
  /** By type: 1 for frames that are looked at. All others go on unread, as fast as can be. */
  readonly looksAt: Uint8Array;
  /**
   * How many bytes of a frame must be there before it is looked at, with its head: `length` for a
   * whole one, and never more.
   */
  needs(type: number, length: number): number;
  /** By type: 1 for frames in whose place something may be put in. Others cost one write less. */
  readonly mayChange: Uint8Array;
  /**
   * Looks at a frame. `start`: the first of its `length` bytes, as many as came. Returns how many
   * of its first bytes do not go on: 0 for none, `length` for the whole frame.
   */
  frame(type: number, length: number, start: Buffer): number;
  /** Bytes that go on, in order: what was before a frame that may change first. */
  pass(bytes: Buffer): void;
}

export class Frames {
  readonly #reader: FrameReader;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** How many bytes there must be to go on. */
  #wanted = 0;
  /** Of the frame that began: what does not go on, and what is still to come in all. */
  #skip = 0;
  #left = 0;

  constructor(reader: FrameReader) {
    this.#reader = reader;
  }

  /** Whether the last byte that came was the last of a frame. */
  get whole(): boolean {
    return this.#left === 0 && this.#heldBytes === 0;
  }

  /** What was kept of a message of which nothing has gone on; undefined in the midst of one. */
  takeBack(): Buffer | undefined {
    if (this.#left > 0) return undefined;
    if (this.#heldBytes === 0) return NO_BYTES;
    const bytes = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return bytes;
  }

  /** Throws for a length that no message has. */
  push(chunk: Buffer): void {
    if (this.#heldBytes === 0) {
      this.#walk(chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#wanted) return;
    const bytes = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    this.#walk(bytes);
  }

  /** Where the next frame begins that is looked at, or of which the head is not all there. */
  #skipUnread(bytes: Buffer, from: number): number {
    const { looksAt } = this.#reader;
    const most = bytes.length - HEAD_BYTES;
    let at = from;
    while (at <= most && looksAt[bytes[at] ?? 0] === 0) {
      const length = lengthAt(bytes, at);
      at += length;
    }
    if (at > bytes.length) {
      this.#left = at - bytes.length;
      this.#skip = 0;
      return bytes.length;
    }
    return at;
  }

  #walk(bytes: Buffer): void {
    const reader = this.#reader;
    let at = 0;
    /** Start of the bytes that go on and were not passed yet. */
    let from = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const here = Math.min(this.#left, bytes.length - at);
        const skipped = Math.min(this.#skip, here);
        if (skipped > 0) {
          if (at > from) reader.pass(bytes.subarray(from, at));
          from = at + skipped;
          this.#skip -= skipped;
        }
        this.#left -= here;
        at += here;
        continue;
      }
      at = this.#skipUnread(bytes, at);
      if (at >= bytes.length) break;
      const there = bytes.length - at;
      const length = there < HEAD_BYTES ? 0 : lengthAt(bytes, at);
      const type = bytes[at] ?? 0;
      const needs = length === 0 ? HEAD_BYTES : reader.needs(type, length);
      if (at > from && (there < needs || reader.mayChange[type] === 1)) {
        reader.pass(bytes.subarray(from, at));
        from = at;
      }
      if (there < needs) {
        this.#held = [bytes.subarray(at)];
        this.#heldBytes = there;
        this.#wanted = needs;
        return;
      }
      this.#skip = reader.frame(type, length, bytes.subarray(at, at + length));
      this.#left = length;
    }
    if (bytes.length > from) reader.pass(from === 0 ? bytes : bytes.subarray(from));
  }
}

/** For `looksAt`: the types that are named. */
export function onlyTypes(types: Iterable<number>): Uint8Array {
  const table = new Uint8Array(256);
  for (const type of types) table[type] = 1;
  return table;
}

/** How long the message is whose head is at a place. Throws for what none has. */
export function lengthAt(bytes: Buffer, at: number): number {
  const length = 1 + bytes.readUInt32BE(at + 1);
  if (length < HEAD_BYTES || length > MOST_BYTES) throw new Error("invalid message length");
  return length;
}
