import { expect, test } from "vitest";
import { isCalendarDay } from "./calendar-day.ts";

test.for<[text: string, isThere: boolean]>([
  ["2026-11-30", true],
  ["2028-02-29", true],
  ["2027-02-29", false],
  ["2026-02-30", false],
  ["2026-04-31", false],
  ["2026-13-01", false],
  ["2026-11-30T", false],
  ["", false],
])("%j: %s", ([text, isThere]) => expect(isCalendarDay(text)).toBe(isThere));
