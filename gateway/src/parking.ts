/**
 * Instances that nobody may use for a moment, because they are about to be restarted: who comes
 * waits, and who is inside leaves at the end of a transaction and comes back. Not for ever: control
 * may be gone before it says that the moment is over.
 */
import type { Endpoint } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { after } from "@aerodb/runtime";
import type { RouteTable } from "./routes.ts";

/** Who uses an instance. Called when it is parked, and never while it still is. */
export type LeaveFor = (over: AbortSignal) => void;

/**
 * After what time one is used again, whatever control says: more than a host lets transactions run
 * on and a server takes to stop and start.
 */
const MOST_MS = 60_000;

interface Parked {
  readonly over: AbortController;
  readonly cancel: () => void;
}

export class Parking {
  readonly #mostMs: number;
  readonly #parked = new Map<string, Parked>();
  readonly #users = new Map<string, Set<LeaveFor>>();

  constructor(routes: Pick<RouteTable, "onEndpoint">, mostMs = MOST_MS) {
    this.#mostMs = mostMs;
    routes.onEndpoint((endpoint) => this.#follow(endpoint));
  }

  /** Aborted when it may be used again; undefined when it may be used now. */
  of(instanceId: string): AbortSignal | undefined {
    const signal = this.#parked.get(instanceId)?.over.signal;
    return signal?.aborted === false ? signal : undefined;
  }

  /** Has a user told, at once where it is parked already. Returns what ends that. */
  join(instanceId: string, leaveFor: LeaveFor): () => void {
    const users = this.#users.get(instanceId) ?? new Set();
    this.#users.set(instanceId, users.add(leaveFor));
    const over = this.of(instanceId);
    if (over !== undefined) leaveFor(over);
    return () => {
      users.delete(leaveFor);
      if (users.size === 0 && this.#users.get(instanceId) === users) {
        this.#users.delete(instanceId);
      }
    };
  }

  close(): void {
    for (const { cancel } of this.#parked.values()) cancel();
  }

  #follow({ instanceId, parked, gone }: Endpoint): void {
    const held = this.#parked.get(instanceId);
    if (!parked || gone) {
      this.#parked.delete(instanceId);
      held?.cancel();
      held?.over.abort();
    } else if (held === undefined || held.over.signal.aborted) {
      // Said again after its time: control was gone before the host knew of it, which does now.
      const over = new AbortController();
      const cancel = after(this.#mostMs, () => over.abort());
      this.#parked.set(instanceId, { over, cancel });
      for (const leaveFor of [...(this.#users.get(instanceId) ?? [])]) leaveFor(over.signal);
    }
  }
}

/** Resolves once it is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
