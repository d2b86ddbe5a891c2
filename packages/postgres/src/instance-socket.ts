/**
 * How the platform reaches an instance. Its socket is in a directory of the instance's own user,
 * who may put there a link to the socket of another tenant's server: whoever followed that would
 * do to the one what is meant for the other. So what is there is opened without being followed,
 * and that very file is connected to, whatever its name leads to by then.
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { socketPath } from "./names.ts";

/** The same on every machine that Node runs on; Node has no name for it. */
const O_PATH = 0o10000000;
const FLAGS = O_PATH | constants.O_NOFOLLOW;

class InstanceSocket extends Socket {
  override connect(path: unknown): this {
    try {
      this.#connect(String(path));
    } catch (error) {
      this.destroy(error as NodeJS.ErrnoException);
    }
    return this;
  }

  #connect(path: string): void {
    const file = openSync(path, FLAGS);
    try {
      if (!fstatSync(file).isSocket()) throw new Error(`${path} is no socket`);
      // The kernel connects, or says why not, before this returns: the file may be closed.
      super.connect(`/proc/self/fd/${file}`);
    } finally {
      closeSync(file);
    }
  }
}

/** A connection to an instance; what keeps it from being one is its `error`, as of any socket. */
export function connectInstance(
  socketDirectory: string,
  options: { readonly allowHalfOpen?: boolean } = {},
): Socket {
  return instanceStream(options).connect(socketPath(socketDirectory));
}

/** For clients that connect by themselves, to the path of a socket. */
export function instanceStream(options: { readonly allowHalfOpen?: boolean } = {}): Socket {
  return new InstanceSocket(options);
}
