import { expect, test } from "vitest";
import { monthOf, parseMonth } from "./calendar-month.ts";

test.for<[name: string, days: number]>([
  ["2026-11", 30],
  ["2026-12", 31],
  ["2026-02", 28],
  ["2028-02", 29],
  // A leap second, and a switch to summer time in many places: days of UTC do not know of either.
  ["2016-12", 31],
  ["2026-03", 31],
])("%s has %i days", ([name, days]) => {
  const month = parseMonth(name);
  expect(month).toMatchObject({ name, startsAt: new Date(`${name}-01T00:00:00Z`) });
  expect(month?.seconds).toBe(BigInt(days * 86_400));
});

test.for(["2026-13", "2026-00", "2026-1", "26-01", "2026-011", "", "now"])(
  "%j is no month",
  (name) => expect(parseMonth(name)).toBeUndefined(),
);

test("an instant is in the month of UTC", () => {
  expect(monthOf(new Date("2026-12-31T23:59:59.999Z")).name).toBe("2026-12");
  expect(monthOf(new Date("2027-01-01T00:00:00Z")).name).toBe("2027-01");
});
