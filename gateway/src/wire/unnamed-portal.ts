/**
 * Keeps clients from the portal without a name where they have not bound one. A query that fails in
 * a transaction leaves one behind whose memory is gone, and the server that is asked to execute it
 * reads what is there instead: 18.4 ends with a segmentation fault, for all of its tenants, at
 * `begin`, a query that fails, another one and Execute. No client has use for it.
 */
import { encodeMessage } from "@aerodb/postgres";
import { CLIENT, HEAD_BYTES } from "./messages.ts";

const PORTAL = 0x50;
/** The server answers that there is none by this name. */
const NO_PORTAL = Buffer.from("the one without a name\0");
/** Where the name of a portal begins, by the type of the message. */
const NAME_AT: Readonly<Record<number, number>> = {
  [CLIENT.bind]: HEAD_BYTES,
  [CLIENT.execute]: HEAD_BYTES,
  [CLIENT.describe]: HEAD_BYTES + 1,
};

/** How much of a message must be there to say whether it is about that portal. */
export function bytesToName(type: number): number {
  return 1 + (NAME_AT[type] ?? HEAD_BYTES - 1);
}

export class UnnamedPortal {
  /** Number of what is asked now, up to a Sync or a query, and of what was answered last. */
  #asking = 1;
  #answered = 0;
  /** In which of them it was bound; 0: it is not. */
  #boundIn = 0;

  /**
   * Whether a client may use it: it has bound it since the last query, and not in vain. In the same
   * breath that is uncertain, but then a Bind in vain has the server skip what follows.
   */
  get usable(): boolean {
    return this.#boundIn === this.#asking || (this.#boundIn > 0 && this.#boundIn <= this.#answered);
  }

  /** What is sent in place of a message that would use what is not there; else undefined. */
  insteadOf(type: number, start: Buffer): Buffer | undefined {
    if (start[NAME_AT[type] ?? 0] !== 0 || this.usable) return undefined;
    if (type === CLIENT.execute) return encodeMessage("E", NO_PORTAL, Buffer.alloc(4));
    if (type !== CLIENT.describe || start[HEAD_BYTES] !== PORTAL) return undefined;
    return encodeMessage("D", Buffer.of(PORTAL), NO_PORTAL);
  }

  /** A message of the client, which goes on as it is. */
  note(type: number, start: Buffer): void {
    switch (type) {
      case CLIENT.bind:
        if (start[HEAD_BYTES] === 0) this.#boundIn = this.#asking;
        break;
      case CLIENT.query:
        this.#boundIn = 0;
        this.#asking += 1;
        break;
      case CLIENT.sync:
      case CLIENT.functionCall:
        this.#asking += 1;
        break;
    }
  }

  /**
   * The server is ready for the next. A Sync that it did not hear makes us wait for one answer too
   * many, so an error is taken to be of all that was asked: nothing is used of which we are not
   * certain.
   */
  answered(failed: boolean): void {
    this.#answered += 1;
    if (failed && this.#boundIn !== this.#asking) this.#boundIn = 0;
  }
}
