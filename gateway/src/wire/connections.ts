/**
 * Everybody who is connected, for those who run the gateway, with a line in the log of who was; and
 * the end of those who have rested for too long.
 */
import type { ServerReport } from "@aerodb/postgres";
import { every, type Logger, monotonicMs } from "@aerodb/runtime";
import { type ConnectionState, type Relay, stateOf } from "./relay.ts";

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
  readonly state: ConnectionState;
  readonly openForMs: number;
  readonly ingressBytes: number;
  readonly egressBytes: number;
  readonly transactions: number;
}

interface Open {
  readonly facts: ConnectionFacts;
  readonly relay: Relay;
  readonly sinceMs: number;
  /** What it had carried when it was looked at last, and since when it has rested at least. */
  bytes: number;
  restsSinceMs: number;
}

/** How often those who rest are looked at, as a part of what they may. */
const LOOKS = 20;
const SHORTEST_LOOK_MS = 50;
const LONGEST_LOOK_MS = 5_000;

export class Connections {
  readonly #logger: Logger;
  readonly #open = new Set<Open>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(facts: ConnectionFacts, relay: Relay): void {
    const sinceMs = monotonicMs();
    const open: Open = { facts, relay, sinceMs, bytes: 0, restsSinceMs: sinceMs };
    this.#open.add(open);
    void relay.ended.then(() => {
      this.#open.delete(open);
      const because = relay.endedBecause;
      const line = { ...lineOf(open), state: relay.endedAs ?? stateOf(relay) };
      this.#logger.info(because === undefined ? line : { ...line, because }, "a connection ended");
    });
  }

  /**
   * Ends whoever rests for so long outside of a transaction; 0: nobody. No timer is set and no time
   * is read for a query: who carried nothing between two looks has rested.
   */
  endIdle(timeoutMs: number, signal: AbortSignal): void {
    if (timeoutMs === 0) return;
    const lookMs = Math.min(Math.max(timeoutMs / LOOKS, SHORTEST_LOOK_MS), LONGEST_LOOK_MS);
    const report = idleFor(timeoutMs);
    every(
      lookMs,
      () => {
        const nowMs = monotonicMs();
        for (const open of this.#open) {
          if (restOf(open, nowMs) < timeoutMs) continue;
          open.relay.traffic.idledOut();
          open.relay.end(report);
        }
      },
      signal,
    );
  }

  /** The oldest first. */
  list(): readonly ConnectionLine[] {
    return [...this.#open].map(lineOf);
  }
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

/** Looks at one: for how long it has rested at least. */
function restOf(open: Open, nowMs: number): number {
  const { ingressBytes, egressBytes } = open.relay.traffic;
  const bytes = ingressBytes + egressBytes;
  if (!open.relay.resting || bytes !== open.bytes) {
    open.bytes = bytes;
    open.restsSinceMs = nowMs;
  }
  return nowMs - open.restsSinceMs;
}

function idleFor(timeoutMs: number): ServerReport {
  const message =
    `terminating connection: it was idle for ${timeoutMs / 1_000} s outside of a transaction, ` +
    "which is as long as this gateway lets it";
  return { severity: "FATAL", sqlState: "57P05", message };
}
