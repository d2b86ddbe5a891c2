/**
 * What a client has said while no server works for it. A server is asked for once it would have
 * something to do: a client that stops in the midst of a message takes none.
 */
import { lengthAt } from "../wire/frames.ts";
import { CLIENT, HEAD_BYTES } from "../wire/messages.ts";
import { bytesNeeded, READ_BYTES, requireKnown } from "./client-messages.ts";

export class Unheard {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** How many there must be for the first message to be of use, once its head is there. */
  #wanted: number | undefined;
  /** While messages are dropped: what of the one that began is to come. */
  #dropping: { left: number; first: boolean; last: boolean } | undefined;

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Whether a server has something to do for it. Throws for what is no message. */
  get asks(): boolean {
    if (this.#bytes < HEAD_BYTES || this.#dropping !== undefined) return false;
    if (this.#wanted === undefined) {
      const head = this.#join();
      const length = lengthAt(head, 0);
      this.#wanted = Math.min(length, Math.max(bytesNeeded(head[0] ?? 0, length), READ_BYTES));
    }
    return this.#bytes >= this.#wanted;
  }

  /** Whether its first message is its goodbye. */
  get saysGoodbye(): boolean {
    return this.#chunks[0]?.[0] === CLIENT.terminate;
  }

  /** All of it. */
  take(): readonly Buffer[] {
    const chunks = this.#chunks;
    this.#keep([]);
    return chunks;
  }

  /**
   * Drops, of what is there and of what comes, all up to where a server that has refused it would
   * listen again: the end of a query, or a Sync.
   */
  startDropping(): void {
    this.#dropping = { left: 0, first: true, last: false };
  }

  get dropping(): boolean {
    return this.#dropping !== undefined;
  }

  /** Whether the last of it is dropped. Throws for what is no message. */
  dropped(): boolean {
    const dropping = this.#dropping;
    for (; dropping !== undefined; ) {
      const here = Math.min(dropping.left, this.#bytes);
      if (here > 0) this.#keep([this.#join().subarray(here)]);
      dropping.left -= here;
      if (dropping.left > 0) return false;
      if (dropping.last) break;
      if (this.#bytes < HEAD_BYTES) return false;
      const head = this.#join();
      const type = head[0] ?? 0;
      requireKnown(type);
      if (type === CLIENT.terminate) break;
      dropping.left = lengthAt(head, 0);
      const whole = type === CLIENT.query || type === CLIENT.functionCall;
      dropping.last = type === CLIENT.sync || (whole && dropping.first);
      dropping.first = false;
    }
    this.#dropping = undefined;
    return true;
  }

  #join(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #keep(chunks: Buffer[]): void {
    this.#chunks = chunks.filter(({ length }) => length > 0);
    this.#bytes = this.#chunks.reduce((bytes, { length }) => bytes + length, 0);
    this.#wanted = undefined;
  }
}
