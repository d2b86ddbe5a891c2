import fc from "fast-check";
import { expect, test } from "vitest";
import { Gate } from "./gate.ts";

/** Work that ends when it is told to, and notes when it began. */
function work(began: string[], name: string) {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    end: resolve,
    run: () => {
      began.push(name);
      return promise;
    },
  };
}

test("no more run at once than the gate is wide, and what is awaited begins in order", async () => {
  const gate = new Gate(1);
  const began: string[] = [];
  const first = work(began, "first");
  const passes = [gate.pass(first.run)];
  for (const [name, importance] of [
    ["free", 0],
    ["paying", 2],
    ["paying too", 2],
    ["trial", 1],
  ] as const) {
    passes.push(gate.pass(async () => void began.push(name), importance));
  }
  await Promise.resolve();
  expect(began).toEqual(["first"]);
  first.end();
  await Promise.all(passes);
  expect(began).toEqual(["first", "paying", "paying too", "trial", "free"]);
});

test("work that fails makes room all the same", async () => {
  const gate = new Gate(1);
  await expect(gate.pass(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(gate.pass(async () => "in")).resolves.toBe("in");
});

test("whatever comes in whatever order, the most important waits least", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9 })), async (importances) => {
      const gate = new Gate(1);
      const first = work([], "");
      const order: number[] = [];
      const passes = [
        gate.pass(first.run),
        ...importances.map((each) => gate.pass(async () => void order.push(each), each)),
      ];
      first.end();
      await Promise.all(passes);
      expect(order).toEqual(importances.toSorted((a, b) => b - a));
    }),
  );
});
