/**
 * Wakes those who wait for something to change. A wake-up carries no news: who is woken reads the
 * state again, so a lost, doubled or early wake-up costs a look and nothing else.
 */
export class Waiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /**
   * Calls `look` now and after every wake-up of the key until it returns something else than
   * undefined. Rejects with the signal's reason when that is aborted first: give it a deadline.
   */
  async until<Value>(
    key: string,
    look: () => Promise<Value | undefined>,
    signal: AbortSignal,
  ): Promise<Value> {
    for (;;) {
      const woken = this.#register(key, signal);
      try {
        const value = await look();
        if (value !== undefined) return value;
        await woken.promise;
      } finally {
        woken.forget();
      }
      signal.throwIfAborted();
    }
  }

  wake(key: string): void {
    for (const resolve of this.#waiting.get(key) ?? []) resolve();
  }

  wakeAll(): void {
    for (const key of [...this.#waiting.keys()]) this.wake(key);
  }

  #register(key: string, signal: AbortSignal): { promise: Promise<void>; forget: () => void } {
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(key) ?? new Set();
    waiting.add(resolve);
    this.#waiting.set(key, waiting);
    signal.addEventListener("abort", () => resolve(), { once: true });
    return {
      promise,
      forget: () => {
        waiting.delete(resolve);
        if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
      },
    };
  }
}
