import { now } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { parseMoment } from "./moment.ts";

test.each([
  ["2026-11-30T12:00:00Z", "2026-11-30T12:00:00.000Z"],
  ["2026-11-30T12:00+02:00", "2026-11-30T10:00:00.000Z"],
  ["2026-11-30", "2026-11-30T00:00:00.000Z"],
])("%s is %s", (text, moment) => {
  expect(parseMoment(text).toISOString()).toBe(moment);
});

test.each([
  ["90s", 90_000],
  ["15m", 900_000],
  ["2h", 7_200_000],
  ["3d", 259_200_000],
])("%s is %d ms ago", (text, ms) => {
  const before = now().getTime();
  const moment = parseMoment(text).getTime();
  expect(moment).toBeGreaterThanOrEqual(before - ms);
  expect(moment).toBeLessThanOrEqual(now().getTime() - ms);
});

test.each([
  "",
  "2",
  "h",
  "0h",
  "2w",
  "-2h",
  "yesterday",
  "2026-13-01",
  "2026-02-30",
  "2027-02-29T12:00:00Z",
  "2026-11-30T12:00:00",
  "12:00",
])("%j is no moment", (text) => {
  expect(() => parseMoment(text)).toThrow("It must be a moment: 90s, 15m, 2h or 3d ago");
});
