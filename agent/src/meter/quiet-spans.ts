import { type Measured, mergeMeasured, subjectOf } from "./measured.ts";

/** A subject of which nothing is to be said is reported this seldom. */
const QUIET_SECONDS = 300;

/**
 * Joins the spans in which nothing happened, so that what is idle costs neither the link nor the
 * catalogue. What a busy span says is never mixed with the quiet before it.
 */
export class QuietSpans {
  readonly #open = new Map<string, Measured>();
  readonly #quietSeconds: number;

  constructor(quietSeconds = QUIET_SECONDS) {
    this.#quietSeconds = quietSeconds;
  }

  /** Takes a span. Returns what is to be reported now. */
  take(measured: Measured, quiet: boolean): readonly Measured[] {
    const subject = subjectOf(measured);
    const open = this.#open.get(subject);
    if (!quiet) {
      this.#open.delete(subject);
      return open === undefined ? [measured] : [open, measured];
    }
    const joined = open === undefined ? measured : mergeMeasured(open, measured);
    if (joined.seconds < this.#quietSeconds) {
      this.#open.set(subject, joined);
      return [];
    }
    this.#open.delete(subject);
    return [joined];
  }

  /** Everything that was held back, for an agent that stops. */
  drain(): readonly Measured[] {
    const open = [...this.#open.values()];
    this.#open.clear();
    return open;
  }
}
