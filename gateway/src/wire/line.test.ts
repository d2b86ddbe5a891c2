/** What waits to be answered, however much that is. */
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

test("a long one is taken whole, and keeps its order", () => {
  const line = new Line<number>();
  for (let each = 0; each < 100_000; each += 1) line.push(each);
  const taken: (number | undefined)[] = [];
  while (line.length > 0) taken.push(line.shift());
  expect(taken).toEqual(Array.from({ length: 100_000 }, (_, each) => each));
});
