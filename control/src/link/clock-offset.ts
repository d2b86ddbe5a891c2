/**
 * How far the clock of an agent is ahead of ours. A message takes a while, which makes the other
 * clock look late by as much: of the last few, the one that took least is the truest.
 */
import { now } from "@aerodb/runtime";
import { decodeTime } from "@aerodb/wire";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const KEPT = 6;
/** What fits the catalogue: some 24 days. */
const MOST_MS = 2_147_483_647;

export class ClockOffset {
  readonly #seenMs: number[] = [];

  /** A message that came just now was sent at this time, by the other clock. */
  note(sentAt: Timestamp | undefined): void {
    if (sentAt === undefined) return;
    const ms = decodeTime(sentAt).getTime() - now().getTime();
    if (!Number.isFinite(ms)) return;
    this.#seenMs.push(Math.max(-MOST_MS, Math.min(MOST_MS, Math.round(ms))));
    if (this.#seenMs.length > KEPT) this.#seenMs.shift();
  }

  /** Undefined until something was noted. */
  get ms(): number | undefined {
    return this.#seenMs.length === 0 ? undefined : Math.max(...this.#seenMs);
  }
}
