import type { Socket } from "node:net";

/** What a connection begins with. */
export type Opening = "tls" | "http2" | "http1" | "not_allowed";

const TLS_HANDSHAKE = 0x16;
/** How every plaintext HTTP/2 connection begins; no HTTP/1.1 method does. */
const HTTP2_PREFACE = Buffer.from("PRI");

/**
 * Which protocol the first bytes are of; undefined while they are too few to tell. Without
 * encryption only this machine itself may talk.
 */
export function openingOf(bytes: Buffer, remoteAddress: string | undefined): Opening | undefined {
  if (bytes[0] === TLS_HANDSHAKE) return "tls";
  if (!isLoopback(remoteAddress)) return "not_allowed";
  const length = Math.min(bytes.length, HTTP2_PREFACE.length);
  if (!bytes.subarray(0, length).equals(HTTP2_PREFACE.subarray(0, length))) return "http1";
  return length === HTTP2_PREFACE.length ? "http2" : undefined;
}

/** Whether an address is this machine's own, in any of its spellings. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return plain === "::1" || plain.startsWith("127.");
}

/** Waits for the first bytes, puts them back and says what they open. */
export function sniff(socket: Socket, opened: (opening: Opening) => void): void {
  let bytes = Buffer.alloc(0);
  socket.on("data", function look(chunk: Buffer) {
    bytes = Buffer.concat([bytes, chunk]);
    const opening = openingOf(bytes, socket.remoteAddress);
    if (opening === undefined) return;
    socket.off("data", look);
    socket.pause();
    socket.unshift(bytes);
    opened(opening);
  });
}
