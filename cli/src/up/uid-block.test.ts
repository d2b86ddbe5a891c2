import fc from "fast-check";
import { expect, test } from "vitest";
import { highestUid, uidBlock } from "./uid-block.ts";

const NO_LIMIT = 4_294_967_294;
const ranges = (hash: string, highest: number) => {
  const block = uidBlock(hash, highest);
  const agents = Array.from({ length: 50 }, (_, index) => block.agent(index + 1));
  return [{ base: block.catalogue, count: 1 }, ...agents];
};

test("users of a home's servers never overlap and exist in the user namespace", () => {
  const hashes = fc.stringMatching(/^[0-9a-f]{12}$/);
  fc.assert(
    fc.property(hashes, fc.constantFrom(NO_LIMIT, 65_535), (hash, highest) => {
      let last = 999;
      for (const { base, count } of ranges(hash, highest)) {
        expect(base).toBeGreaterThan(last);
        last = base + count - 1;
      }
      expect(last).toBeLessThan(Math.min(highest, 2 ** 31));
    }),
  );
});

test("the highest user is read from the namespace's map", () => {
  expect(highestUid("         0          0 4294967295\n")).toBe(4_294_967_294);
  expect(highestUid("  0 1000 1\n  1 100000 65535\n")).toBe(65_535);
});
