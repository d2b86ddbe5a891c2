/**
 * Servers that ended, or had to be ended, though nobody had ordered it: the last of each instance,
 * for control to hear of, and how often in a row it was soon after the start. Kept in memory: an
 * agent that dies before it has told of an end does not tell of it.
 */
import type { InstanceId } from "@aerodb/model";

export interface ServerEnd {
  /** Grows, and never repeats on a host. */
  readonly number: bigint;
  /** Whether it answered nobody and was ended for that; else it ended by itself. */
  readonly hung: boolean;
  readonly reason: string;
}

/** A server that lived shorter than this crashed on its own account: it is started with a pause. */
const STEADY_AFTER_MS = 30_000;

export class ServerEnds {
  readonly #nextNumber: () => bigint;
  readonly #last = new Map<InstanceId, ServerEnd>();
  readonly #early = new Map<InstanceId, number>();

  constructor(nextNumber: () => bigint) {
    this.#nextNumber = nextNumber;
  }

  /**
   * Notes an end, with why it was ended if it was, its last words and how long it lived. Returns
   * how many in a row came soon after their starts, and what is to be said of this one.
   */
  note(
    id: InstanceId,
    end: { readonly because: string | undefined; readonly words: string; readonly livedMs: number },
  ): { readonly crashes: number; readonly reason: string } {
    const { because, words, livedMs } = end;
    const reason = because ?? `The server ends by itself. Its last words: ${words || "none"}`;
    this.#last.set(id, { number: this.#nextNumber(), hung: because !== undefined, reason });
    const crashes = livedMs < STEADY_AFTER_MS ? (this.#early.get(id) ?? 0) + 1 : 0;
    this.#early.set(id, crashes);
    return { crashes, reason };
  }

  /** Undefined when it did not happen since this process began. */
  last(id: InstanceId): ServerEnd | undefined {
    return this.#last.get(id);
  }
}
