import { sleep } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { Limits } from "./limits.ts";

const NONE = { halfOpenPerSource: 0, ratePerSource: 0, ratePerTenant: 0 };

test("an address may have so many that have not logged in, and another as many", () => {
  const limits = new Limits({ ...NONE, halfOpenPerSource: 2 });
  const leave = limits.enter("1.1.1.1");
  limits.enter("1.1.1.1");
  expect(limits.refusalOfSource("1.1.1.1")).toMatchObject({ sqlState: "53300" });
  expect(limits.refusalOfSource("2.2.2.2")).toBeUndefined();
  expect(limits.strangersRefused).toEqual({ half_open: 1, rate: 0, late: 0 });
  leave();
  expect(limits.refusalOfSource("1.1.1.1")).toBeUndefined();
});

test("twice a second's worth comes at once, then as it fills", async () => {
  const limits = new Limits({ ...NONE, ratePerTenant: 10 });
  const taken = Array.from({ length: 30 }, () => limits.refusalOfTenant("a") === undefined);
  expect(taken.filter(Boolean)).toHaveLength(20);
  expect(limits.refusalOfTenant("b")).toBeUndefined();
  await sleep(250);
  expect(limits.refusalOfTenant("a")).toBeUndefined();
});

test("an address that opens connections too quickly is refused, and counted", () => {
  const limits = new Limits({ ...NONE, ratePerSource: 1 });
  const taken = Array.from({ length: 5 }, () => limits.refusalOfSource("a") === undefined);
  expect(taken).toEqual([true, true, false, false, false]);
  expect(limits.strangersRefused).toEqual({ half_open: 0, rate: 3, late: 0 });
});

test("what is set to 0 has no bound", () => {
  const limits = new Limits(NONE);
  for (let at = 0; at < 10_000; at += 1) {
    limits.enter("a");
    expect(limits.refusalOfSource("a") ?? limits.refusalOfTenant("a")).toBeUndefined();
  }
});
