/** Ctrl-C once: stop. Again: stop harder. */
import { monotonicMs } from "@aerodb/runtime";

export interface StopSignals {
  /** Aborted at the first signal. */
  readonly stop: AbortSignal;
  /** Resolves at the first signal. */
  readonly stopped: Promise<undefined>;
  /** Calls back at every further signal. */
  onSecond(act: () => void): void;
}

/**
 * npm passes a Ctrl-C on to a process that has it from the terminal already: that is one, not two.
 */
const SAME_KEYSTROKE_MS = 400;

export function watchStopSignals(): StopSignals {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let firstAt: number | undefined;
  let harder: () => void = () => undefined;

  function asked(): void {
    if (firstAt !== undefined) {
      if (monotonicMs() - firstAt > SAME_KEYSTROKE_MS) harder();
      return;
    }
    firstAt = monotonicMs();
    controller.abort(new Error("asked to stop"));
    resolve(undefined);
  }

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, asked);
  return {
    stop: controller.signal,
    stopped: promise,
    onSecond(act) {
      harder = act;
    },
  };
}
