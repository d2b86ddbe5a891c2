/** What waits to be answered, however much that is. */
import { monotonicMs } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { Line } from "./line.ts";

test("what came first is first, and what was taken is gone", () => {
  const line = new Line<number>();
  expect([line.length, line.first, line.last, line.shift()]).toEqual([0, ...Array(3)]);
  const model: number[] = [];
  for (let step = 0; step < 500; step += 1) {
    if (step % 7 < 4 && step < 400) {
      line.push(step);
      model.push(step);
    } else {
      expect(line.shift()).toBe(model.shift());
    }
    expect([line.length, line.first, line.last]).toEqual([model.length, model[0], model.at(-1)]);
    expect([...line]).toEqual(model);
  }
  expect(line.length).toBe(0);
});

test("a long one takes no longer for each than a short one", () => {
  const line = new Line<boolean>();
  for (let each = 0; each < 200_000; each += 1) line.push(true);
  const startedMs = monotonicMs();
  while (line.length > 0) line.shift();
  // An array takes seconds for that.
  expect(monotonicMs() - startedMs).toBeLessThan(500);
});
