import type { Duplex } from "node:stream";

/**
 * The next bytes of a stream, or undefined once it has ended or broken. The stream is left paused,
 * so that what the caller does not ask for stays where it is. Rejects with the signal's reason.
 */
export function readBytes(stream: Duplex, signal: AbortSignal): Promise<Buffer | undefined> {
  signal.throwIfAborted();
  const ready = stream.read() as Buffer | null;
  if (ready !== null) return Promise.resolve(ready);
  if (stream.readableEnded || stream.destroyed) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    function forget(): void {
      stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      signal.removeEventListener("abort", onAbort);
    }
    function onReadable(): void {
      const bytes = stream.read() as Buffer | null;
      if (bytes === null) return;
      forget();
      resolve(bytes);
    }
    function onEnd(): void {
      forget();
      resolve(undefined);
    }
    function onAbort(): void {
      forget();
      reject(signal.reason);
    }
    stream.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
