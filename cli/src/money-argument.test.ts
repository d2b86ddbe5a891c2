import { expect, test } from "vitest";
import { parseDollars } from "./money-argument.ts";

test("an amount is read to the millionth", () => {
  expect(parseDollars("12.50")).toBe(12_500_000n);
  expect(parseDollars("999999999999.999999")).toBe(999_999_999_999_999_999n);
});

test.for<[text: string, why: string]>([
  ["1.2345678", "Write at most six digits after the point, such as 0.000001."],
  ["1000000000000", "That is too large: write at most 999999999999."],
  ["99999999999999999", "That is too large: write at most 999999999999."],
  ["-1", "Write an amount in dollars, such as 12.50."],
  ["12,5", "Write an amount in dollars, such as 12.50."],
  ["", "Write an amount in dollars, such as 12.50."],
])("%j is refused with what is wrong about it", ([text, why]) => {
  expect(() => parseDollars(text)).toThrow(why);
});
