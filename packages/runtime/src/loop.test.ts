import { Fault, lookAgain, settled } from "@aerodb/model";
import { expect, test } from "vitest";
import { silent } from "./logger.ts";
import { startLoop } from "./loop.ts";
import { Waiters } from "./waiters.ts";

function counting(signal: AbortSignal, passes: () => Promise<void> | undefined) {
  return startLoop(
    async () => {
      await passes();
      return settled;
    },
    { name: "test", logger: silent, signal, restMs: 60_000 },
  );
}

test("nudges during a pass cause exactly one more", async () => {
  const stop = new AbortController();
  const begun: number[] = [];
  const gate = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  const loop = counting(stop.signal, () => {
    begun.push(begun.length);
    if (begun.length === 1) return gate.promise;
    second.resolve();
    return undefined;
  });
  loop.nudge();
  loop.nudge();
  gate.resolve();
  await second.promise;
  stop.abort();
  await loop.ended;
  expect(begun.length).toBe(2);
});

test("a pass that faults is tried again", async () => {
  const stop = new AbortController();
  let passes = 0;
  const recovered = Promise.withResolvers<void>();
  const loop = startLoop(
    async () => {
      passes += 1;
      if (passes === 1) throw new Fault("UNAVAILABLE", "not yet");
      recovered.resolve();
      return lookAgain({ afterMs: 60_000, because: "test" });
    },
    { name: "test", logger: silent, signal: stop.signal, restMs: 60_000 },
  );
  await recovered.promise;
  stop.abort();
  await loop.ended;
});

test("a waiter that is woken early looks again and waits on", async () => {
  const waiters = new Waiters();
  let value: string | undefined;
  let looks = 0;
  const waited = waiters.until(
    "key",
    async () => {
      looks += 1;
      return value;
    },
    AbortSignal.timeout(5_000),
  );
  await Promise.resolve();
  waiters.wake("key");
  value = "there";
  waiters.wakeAll();
  expect(await waited).toBe("there");
  expect(looks).toBeGreaterThan(1);
});

test("a waiter stops waiting at its deadline", async () => {
  const waited = new Waiters().until("key", async () => undefined, AbortSignal.timeout(10));
  await expect(waited).rejects.toThrow("timeout");
});
