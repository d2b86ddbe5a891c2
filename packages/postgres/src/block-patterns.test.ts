import { expect, test } from "vitest";
import { type BlockPattern, rowBytesOf } from "./block-patterns.ts";

function sizes(...patterns: readonly BlockPattern[]): Record<string, number> {
  const found = [...rowBytesOf(patterns)].map(([owner, bytes]) => [owner, Math.round(bytes)]);
  return Object.fromEntries(found);
}

test("rows are as large as a block has room for, and no larger than a page", () => {
  expect(sizes({ owners: ["a"], rows: [4], blocks: 9 })).toEqual({ a: 2_042 });
  expect(sizes({ owners: ["a"], rows: [3], blocks: 9 })).toEqual({ a: 2_092 });
  expect(sizes({ owners: ["a"], rows: [180], blocks: 9 })).toEqual({ a: 45 });
  expect(sizes()).toEqual({});
});

test("small rows in the room that large ones leave do not make these smaller", () => {
  const found = sizes(
    { owners: ["large"], rows: [3], blocks: 156 },
    { owners: ["large", "many"], rows: [3, 43], blocks: 468 },
  );
  expect(found["large"]).toBe(2_092);
  expect(found["many"]).toBeLessThan(48);
});

test("owners of alike rows are told alike, however they are mixed", () => {
  const found = sizes(
    { owners: ["a", "b"], rows: [2, 2], blocks: 50 },
    { owners: ["a", "b"], rows: [1, 3], blocks: 50 },
    { owners: ["b"], rows: [4], blocks: 10 },
  );
  expect(found["a"]).toBeCloseTo(2_042, -1);
  expect(found["b"]).toBeCloseTo(2_042, -1);
});
