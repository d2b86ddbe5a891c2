import { Fault } from "@aerodb/model";

/** A message of the protocol after the startup packet. */
export interface WireMessage {
  /** One ASCII character. */
  readonly type: string;
  readonly payload: Buffer;
  /** The whole message as it came. */
  readonly bytes: Buffer;
}

/** No message before the first query is near this long. */
const MAXIMUM_BYTES = 64 * 1024;
const HEAD_BYTES = 5;

/** Splits a stream into messages during authentication; thereafter what `rest` gives is relayed. */
export class MessageReader {
  readonly #most: number;
  #bytes: Buffer = Buffer.alloc(0);

  /** `most`: of how many bytes a message may be. */
  constructor(most = MAXIMUM_BYTES) {
    this.#most = most;
  }

  push(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
  }

  /** The next message, if it is all there. Throws INVALID_ARGUMENT on an impossible length. */
  next(): WireMessage | undefined {
    if (this.#bytes.length < HEAD_BYTES) return undefined;
    const end = 1 + this.#bytes.readUInt32BE(1);
    if (end < HEAD_BYTES || end > this.#most) {
      throw new Fault("INVALID_ARGUMENT", `A message of ${end} bytes where none is so long.`);
    }
    if (this.#bytes.length < end) return undefined;
    const bytes = this.#bytes.subarray(0, end);
    this.#bytes = this.#bytes.subarray(end);
    return { type: bytes.toString("latin1", 0, 1), payload: bytes.subarray(HEAD_BYTES), bytes };
  }

  /** What came after the last message taken. The reader is empty thereafter. */
  rest(): Buffer {
    const rest = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return rest;
  }
}
