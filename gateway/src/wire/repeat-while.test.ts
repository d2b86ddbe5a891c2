import { expect, test } from "vitest";
import { repeatWhile } from "./repeat-while.ts";

test("it is done again until it is needed no longer, and not for ever", async () => {
  const { signal } = new AbortController();
  let times = 0;
  const act = async () => {
    times += 1;
  };
  await repeatWhile(() => false, act, signal);
  expect(times).toBe(0);
  await repeatWhile(() => times < 2, act, signal);
  expect(times).toBe(2);
  await repeatWhile(() => true, act, signal);
  expect(times).toBe(6);
});

test("it is over with the signal", async () => {
  const over = new AbortController();
  const act = async () => over.abort();
  await expect(repeatWhile(() => true, act, over.signal)).resolves.toBeUndefined();
});
