/** The only place that asks what time it is, waits, or sets a timer. */
import { setTimeout as sleepFor } from "node:timers/promises";
import { Fault } from "@aerodb/model";

/** Wall-clock time. */
export function now(): Date {
  return new Date();
}

/** Milliseconds that only grow, for measuring how long something took. */
export function monotonicMs(): number {
  return performance.now();
}

/** Waits. Rejects with the signal's reason when it is aborted first. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/**
 * Calls `tick` every `ms` until the signal is aborted. Ticks never overlap: the next is due `ms`
 * after the last ended. Does not keep the process alive.
 */
export function every(ms: number, tick: () => void | Promise<void>, signal: AbortSignal): void {
  let timer: NodeJS.Timeout | undefined;
  function wait(): void {
    if (signal.aborted) return;
    timer = setTimeout(() => void Promise.resolve().then(tick).finally(wait), ms);
    timer.unref();
  }
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  wait();
}

/** Calls `act` once after `ms`, unless the returned function is called before. */
export function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  return () => clearTimeout(timer);
}

/** Like `after`, but a process that has nothing else to do ends without waiting for it. */
export function later(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  timer.unref();
  return () => clearTimeout(timer);
}

/**
 * Waits for a promise no longer than `ms`. `expecting` completes "waited 5000 ms for …"; the fault
 * is OPERATION_TIMED_OUT. What was waited for goes on; pass it a signal when it should not.
 */
export async function within<Value>(
  wait: { readonly ms: number; readonly expecting: string },
  promise: Promise<Value>,
): Promise<Value> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = after(wait.ms, () => {
    reject(new Fault("OPERATION_TIMED_OUT", `Waited ${wait.ms} ms for ${wait.expecting}.`));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}

/** The time that is `ms` from now, for a library that wants a deadline as a time. */
export function deadlineIn(ms: number): Date {
  return new Date(Date.now() + ms);
}
