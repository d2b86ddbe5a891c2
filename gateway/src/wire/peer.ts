/** One side of a connection whose messages are still read one by one. */
import type { Duplex } from "node:stream";
import type { MessageReader, WireMessage } from "@aerodb/postgres";
import { readBytes } from "./read-bytes.ts";

export interface Peer {
  readonly stream: Duplex;
  readonly reader: MessageReader;
}

/** The next message of a side; undefined once it left. Rejects with the signal's reason. */
export async function nextMessage(
  peer: Peer,
  signal: AbortSignal,
): Promise<WireMessage | undefined> {
  for (;;) {
    const message = peer.reader.next();
    if (message !== undefined) return message;
    const bytes = await readBytes(peer.stream, signal);
    if (bytes === undefined) return undefined;
    peer.reader.push(bytes);
  }
}
