import { within } from "@aerodb/runtime";
import { connectInstance } from "./instance-socket.ts";

/** Asks whether TLS is spoken. It is answered before anybody logs in, by a process of its own. */
const TLS_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Whether a server left its socket behind: it is there, and nobody listens on it any more. False
 * says nothing: there may be no socket, or one whose server is busy.
 */
export async function isAbandoned(socketDirectory: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connectInstance(socketDirectory);
  socket.once("connect", () => resolve(false));
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  // The kernel answers at once.
  return promise.finally(() => socket.destroy());
}

/**
 * Whether a server takes a connection and says anything on it within a time, if only that it has no
 * room. One that was stopped, or loops, has its kernel take the connection and says nothing.
 */
export async function answers(socketDirectory: string, deadlineMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connectInstance(socketDirectory);
  socket.once("connect", () => socket.write(TLS_REQUEST));
  socket.once("data", () => resolve(true));
  socket.once("error", () => resolve(false));
  socket.once("close", () => resolve(false));
  try {
    return await within({ ms: deadlineMs, expecting: "an answer of the server" }, promise);
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
