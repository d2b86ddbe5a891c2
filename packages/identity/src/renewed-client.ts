/**
 * Channels that keep up with their keys. A connection shows for ever the certificate that it was
 * opened with: when the keys are replaced, calls begin on a new one, and those that run end on the
 * old.
 */
import { type CallingClient, GRPC_OPTIONS } from "@aerodb/wire";
import { Client } from "@grpc/grpc-js";
import { channelCredentials } from "./credentials.ts";
import type { HeldKeys, Keys } from "./held-keys.ts";
import type { Identity } from "./identity.ts";
import type { Peer } from "./spiffe.ts";

/** Who is called, and where at the moment of a new connection. */
export interface CalledServer {
  readonly kind: Peer["kind"];
  readonly id?: string;
  readonly address: () => string;
}

export class RenewedClient implements CallingClient {
  #line: Line;
  readonly #stopListening: () => void;

  constructor(keys: Keys, server: CalledServer) {
    this.#line = new Line(keys, server);
    this.#stopListening = keys.onReplaced(() => {
      this.#line.retire();
      this.#line = new Line(keys, server);
    });
  }

  get makeUnaryRequest(): Client["makeUnaryRequest"] {
    const { client } = this.#line;
    return this.#line.counting(client.makeUnaryRequest.bind(client));
  }

  get makeBidiStreamRequest(): Client["makeBidiStreamRequest"] {
    const { client } = this.#line;
    return this.#line.counting(client.makeBidiStreamRequest.bind(client));
  }

  /** Takes no more calls; those that run may end. */
  close(): void {
    this.#stopListening();
    this.#line.retire();
  }
}

/** A channel to control's link. */
export function controlClient(keys: HeldKeys<Identity>): RenewedClient {
  return new RenewedClient(keys, { kind: "control", address: () => keys.current.linkAddress });
}

interface RunningCall {
  once(event: "status", listener: () => void): unknown;
}

/** One client of grpc-js. Closed under a call, it would end that with the next keepalive. */
class Line {
  readonly client: Client;
  #running = 0;
  #isRetired = false;

  constructor(keys: Keys, server: CalledServer) {
    // Credentials made anew: with the same ones, grpc-js would share the connection of before.
    this.client = new Client(server.address(), channelCredentials(keys, server), GRPC_OPTIONS);
  }

  /** The same function, and the line stays open until what it began has ended. */
  counting<Begin>(begin: Begin): Begin {
    const counted = (...asked: unknown[]): RunningCall => {
      const call = (begin as (...asked: unknown[]) => RunningCall)(...asked);
      this.#running += 1;
      call.once("status", () => {
        this.#running -= 1;
        this.#closeIfOver();
      });
      return call;
    };
    return counted as Begin;
  }

  retire(): void {
    this.#isRetired = true;
    this.#closeIfOver();
  }

  #closeIfOver(): void {
    if (this.#isRetired && this.#running === 0) this.client.close();
  }
}
