import type { Socket } from "node:net";

/** The gateway's side of a relayed connection: bytes in and out, each with a brake. */
export interface ByteStream {
  onData(receive: (data: Uint8Array) => void): void;
  /** The other side sends no more. */
  onEnd(done: () => void): void;
  /** The other side is gone. */
  onClose(gone: () => void): void;
  /** Answers whether more may be written before `onDrain`. */
  write(data: Uint8Array): boolean;
  onDrain(ready: () => void): void;
  pause(): void;
  resume(): void;
  end(): void;
}

/**
 * Passes bytes both ways until both sides are done; a slow reader slows the writer, not this
 * process.
 */
export function relay(stream: ByteStream, socket: Socket): void {
  stream.onData((data) => {
    if (!socket.write(data)) stream.pause();
  });
  socket.on("drain", () => stream.resume());
  socket.on("data", (data: Buffer) => {
    if (!stream.write(data)) socket.pause();
  });
  stream.onDrain(() => socket.resume());
  stream.onEnd(() => socket.end());
  stream.onClose(() => socket.destroy());
  socket.on("end", () => stream.end());
  socket.on("close", () => stream.end());
  socket.on("error", () => socket.destroy());
}
