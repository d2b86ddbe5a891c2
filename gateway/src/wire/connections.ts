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
  /** Whether a server had to be woken for that. */
  readonly woke: boolean;
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
  /** What it had carried when it was looked at last, how it rested, and since when at least. */
  bytes: number;
  rests: Rest | undefined;
  restsSinceMs: number;
}

/** Outside of a transaction, or in one, on a server that others would have their turn with. */
type Rest = "outside" | "inside";

/** How long clients may rest; 0: for ever. */
export interface RestLimits {
  readonly idleTimeoutMs: number;
  readonly poolIdleInTransactionMs: number;
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
    const rest = { bytes: 0, rests: undefined, restsSinceMs: sinceMs };
    const open: Open = { facts, relay, sinceMs, ...rest };
    this.#open.add(open);
    void relay.ended.then(() => {
      this.#open.delete(open);
      const because = relay.endedBecause;
      const line = lineOf(open);
      this.#logger.info(because === undefined ? line : { ...line, because }, "a connection ended");
    });
  }

  /**
   * Ends whoever rests for longer than that. No timer is set and no time is read for a query: who
   * carried nothing between two looks has rested.
   */
  endIdle({ idleTimeoutMs, poolIdleInTransactionMs }: RestLimits, signal: AbortSignal): void {
    const most = { outside: idleTimeoutMs, inside: poolIdleInTransactionMs };
    const limits = Object.values(most).filter((ms) => ms > 0);
    if (limits.length === 0) return;
    const partMs = Math.min(...limits) / LOOKS;
    const lookMs = Math.min(Math.max(partMs, SHORTEST_LOOK_MS), LONGEST_LOOK_MS);
    every(
      lookMs,
      () => {
        const nowMs = monotonicMs();
        for (const open of this.#open) {
          const rests = lookAt(open, nowMs);
          if (rests === undefined || most[rests] === 0) continue;
          if (nowMs - open.restsSinceMs < most[rests]) continue;
          open.relay.traffic.idledOut(rests);
          open.relay.end(reportOf(rests, most[rests]));
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
    // Until its server is gone too, one that ends is taken to do what it did before.
    state: relay.endedAs ?? stateOf(relay),
    openForMs: Math.round(monotonicMs() - sinceMs),
    ...{ ingressBytes, egressBytes, transactions },
  };
}

/** Looks at one: whether it rests, and notes since when. */
function lookAt(open: Open, nowMs: number): Rest | undefined {
  const { ingressBytes, egressBytes } = open.relay.traffic;
  const bytes = ingressBytes + egressBytes;
  const rests = restOf(open.relay);
  if (rests === undefined || rests !== open.rests || bytes !== open.bytes) {
    open.bytes = bytes;
    open.rests = rests;
    open.restsSinceMs = nowMs;
  }
  return rests;
}

function restOf({ resting, keepsServer }: Relay): Rest | undefined {
  if (resting) return "outside";
  return keepsServer ? "inside" : undefined;
}

function reportOf(rests: Rest, timeoutMs: number): ServerReport {
  const seconds = timeoutMs / 1_000;
  switch (rests) {
    case "outside": {
      const message =
        `terminating connection: it was idle for ${seconds} s outside of a transaction, ` +
        "which is as long as this gateway lets it";
      return { severity: "FATAL", sqlState: "57P05", message };
    }
    case "inside": {
      const message =
        `terminating connection: it was idle for ${seconds} s in a transaction, which is as ` +
        "long as the pooled port lets it keep a server from others: commit sooner, or use the " +
        "session port";
      return { severity: "FATAL", sqlState: "25P03", message };
    }
  }
}
