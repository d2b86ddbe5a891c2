import { expect, test } from "vitest";
import { requireBegun, requireMonth } from "./named-month.ts";

const AT = new Date("2026-11-30T15:30:00Z");
const MIDNIGHT = new Date("2026-12-01T00:00:00Z");

test("what is no month is told how one is written", () => {
  expect(requireMonth("2026-11").name).toBe("2026-11");
  for (const text of ["2026-13", "0000-01", "2026-1", "current", ""]) {
    expect(() => requireMonth(text)).toThrow("is no month: write it as in 2026-01");
  }
});

test("the running month has begun, and the next begins at midnight", () => {
  expect(requireBegun("", AT).name).toBe("2026-11");
  expect(requireBegun("2026-11", AT).name).toBe("2026-11");
  expect(() => requireBegun("2026-12", AT)).toThrow("2026-12 has not begun");
  expect(requireBegun("2026-12", MIDNIGHT).name).toBe("2026-12");
});
