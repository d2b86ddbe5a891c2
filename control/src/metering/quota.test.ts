import type { QuotaStage } from "@aerodb/model";
import { expect, test } from "vitest";
import { stageOf } from "./quota.ts";

test.for<[used: bigint, stage: QuotaStage, next: QuotaStage]>([
  [0n, "within", "within"],
  [79n, "within", "within"],
  [80n, "within", "warned"],
  [99n, "within", "warned"],
  [100n, "within", "reached"],
  [101n, "warned", "reached"],
  [99n, "reached", "warned"],
  [76n, "warned", "warned"],
  [76n, "reached", "warned"],
  [74n, "warned", "within"],
  [74n, "reached", "within"],
])("%i of 100, after %s, is %s", ([used, stage, next]) => {
  expect(stageOf({ used, quota: 100n, stage })).toBe(next);
});

test("nothing is used up of what is unlimited, and all of what is nothing", () => {
  expect(stageOf({ used: 10n ** 18n, quota: undefined, stage: "reached" })).toBe("within");
  expect(stageOf({ used: 0n, quota: 0n, stage: "within" })).toBe("reached");
});
