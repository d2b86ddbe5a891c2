import { Fault, messageOf, type Outcome } from "@aerodb/model";
import { backoffMs } from "./backoff.ts";
import { after } from "./clock.ts";
import type { Logger } from "./logger.ts";

/** A running loop. `nudge` asks for a pass soon; nudges during a pass cause one more, not many. */
export interface Loop {
  nudge(): void;
  /** Resolves once the last pass has ended after the signal was aborted. */
  readonly ended: Promise<void>;
}

export interface LoopOptions {
  readonly name: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** How long a settled loop rests before it looks again without a nudge. */
  readonly restMs: number;
  /** The longest pause after failures. 10 s when left out. */
  readonly maxPauseMs?: number;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;

/**
 * Runs a pass now, after every nudge and after every rest, one at a time, until the signal is
 * aborted. A pass that throws is tried again with growing pauses; a nudge does not shorten those.
 */
export function startLoop(
  pass: (signal: AbortSignal) => Promise<Outcome>,
  options: LoopOptions,
): Loop {
  const { name, logger, signal, restMs } = options;
  const pauses = { firstMs: FIRST_PAUSE_MS, maxMs: options.maxPauseMs ?? MAX_PAUSE_MS };
  let wake: () => void = () => undefined;
  let nudged = false;
  let failures = 0;

  function rest(ms: number, nudgeable: boolean): Promise<void> {
    return new Promise((resolve) => {
      const cancel = after(ms, done);
      function done(): void {
        cancel();
        wake = () => undefined;
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done, { once: true });
      if (nudgeable) wake = done;
    });
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      nudged = false;
      try {
        const outcome = await pass(signal);
        failures = 0;
        if (nudged || signal.aborted) continue;
        await rest(outcome.kind === "settled" ? restMs : outcome.afterMs, true);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        const pauseMs = backoffMs(failures, pauses);
        if (error instanceof Fault) {
          logger.warn({ loop: name, failures, pauseMs }, messageOf(error));
        } else {
          logger.error({ loop: name, failures, pauseMs, err: error }, "bug in a pass");
        }
        await rest(pauseMs, false);
      }
    }
  }

  return {
    nudge() {
      nudged = true;
      wake();
    },
    ended: run(),
  };
}
