import type { AddressInfo, Server } from "node:net";
import { Fault, messageOf } from "@aerodb/model";

/** Where to listen, and how a person would choose another port. */
export interface BindAsk {
  readonly host: string;
  readonly port: number;
  /** For the sentence when the port is taken, for example `--grpc-port`. */
  readonly flag: string;
}

/**
 * Listens, and returns the port. Throws UNAVAILABLE with a sentence when the port cannot be had.
 */
export function bind(server: Server, ask: BindAsk): Promise<number> {
  return new Promise((resolve, reject) => {
    function refuse(error: Error): void {
      reject(bindFault(ask, error));
    }
    server.once("error", refuse);
    server.listen({ host: ask.host, port: ask.port }, () => {
      server.off("error", refuse);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Why a port cannot be had, and what to do. */
export function bindFault(ask: BindAsk, error: unknown): Fault {
  const taken = messageOf(error).includes("EADDRINUSE");
  const why = taken ? "is taken" : `cannot be used (${messageOf(error)})`;
  const sentence = `Port ${ask.port} on ${ask.host} ${why}: choose another with ${ask.flag}.`;
  return new Fault("UNAVAILABLE", sentence, { cause: error });
}
