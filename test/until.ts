import { monotonicMs, sleep } from "@aerodb/runtime";

/**
 * Looks again and again until `look` returns something other than undefined or false, and returns
 * it. Fails after `ms` with what was expected and, when `look` threw, what it said last.
 */
export async function until<Value>(
  expecting: string,
  look: () => Value | undefined | false | Promise<Value | undefined | false>,
  ms = 30_000,
): Promise<Value> {
  const deadline = monotonicMs() + ms;
  let last: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen !== undefined && seen !== false) return seen;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (monotonicMs() > deadline) {
      throw new Error(`Waited ${ms} ms for ${expecting}.`, { cause: last });
    }
    await sleep(25);
  }
}
