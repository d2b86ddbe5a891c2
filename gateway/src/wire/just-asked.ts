/** Whether a question was asked only just now: a cancel may have come before it was read. */
import { monotonicMs } from "@aerodb/runtime";

/** Within this a server has read what it was handed, on a machine that is not at its end. */
const JUST_NOW_MS = 250;

export class JustAsked {
  #atMs = Number.NEGATIVE_INFINITY;
  #answers = 0;

  /** A question is on its way to the server. */
  note(): void {
    this.#atMs = monotonicMs();
  }

  answered(): void {
    this.#answers += 1;
  }

  /** Says whether it has no answer yet; undefined when nothing was asked just now. */
  get unanswered(): (() => boolean) | undefined {
    if (monotonicMs() - this.#atMs > JUST_NOW_MS) return undefined;
    const answers = this.#answers;
    return () => this.#answers === answers;
  }
}
