/** Everybody who is connected, for those who run the gateway; and a line in the log of who was. */
import { type Logger, monotonicMs } from "@aerodb/runtime";
import type { Relay } from "./relay.ts";

/** Who is connected, and how. No secret is among it, and no text of a query. */
export interface ConnectionFacts {
  readonly tenant: string;
  readonly tenantId: string;
  readonly instanceId: string;
  readonly port: "session" | "pooled";
  readonly address: string;
  /** What the client calls itself; empty when it does not. */
  readonly application: string;
  readonly encrypted: boolean;
  /** From the login to the first query that it could make: with the time that a server took. */
  readonly openedInMs: number;
}

export interface ConnectionLine extends ConnectionFacts {
  readonly state: "idle" | "active" | "parked";
  readonly openForMs: number;
  readonly ingressBytes: number;
  readonly egressBytes: number;
  readonly transactions: number;
}

interface Open {
  readonly facts: ConnectionFacts;
  readonly relay: Relay;
  readonly sinceMs: number;
}

export class Connections {
  readonly #logger: Logger;
  readonly #open = new Set<Open>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(facts: ConnectionFacts, relay: Relay): void {
    const open = { facts, relay, sinceMs: monotonicMs() };
    this.#open.add(open);
    void relay.ended.then(() => {
      this.#open.delete(open);
      this.#logger.info(lineOf(open), "a connection ended");
    });
  }

  /** The oldest first. */
  list(): readonly ConnectionLine[] {
    return [...this.#open].map(lineOf);
  }
}

function stateOf({ parked, idle }: Relay): ConnectionLine["state"] {
  if (parked) return "parked";
  return idle ? "idle" : "active";
}

function lineOf({ facts, relay, sinceMs }: Open): ConnectionLine {
  const { ingressBytes, egressBytes, transactions } = relay.traffic;
  return {
    ...facts,
    state: stateOf(relay),
    openForMs: Math.round(monotonicMs() - sinceMs),
    ...{ ingressBytes, egressBytes, transactions },
  };
}
