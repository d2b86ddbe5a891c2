import { expect, test } from "vitest";
import { parseAmount } from "./amount.ts";

test.for<[text: string, amount: bigint]>([
  ["0", 0n],
  ["2000000", 2_000_000n],
  ["500MB", 524_288_000n],
  ["1TB", 2n ** 40n],
])("%s is read", ([text, amount]) => expect(parseAmount(text)).toBe(amount));

test.for(["", "GB", "-1", "1.5GB", "10 GB", "10gb", "1e9", "unlimited"])("%j is refused", (text) =>
  expect(() => parseAmount(text)).toThrow(/no number such as/),
);

test("an amount that 64 bits do not hold is refused before it is sent", () => {
  expect(parseAmount("9223372036854775807")).toBe(2n ** 63n - 1n);
  expect(() => parseAmount("9223372036854775808")).toThrow(
    "9223372036854775808 is too large: write at most 9223372036854775807.",
  );
  expect(parseAmount("8388607TB")).toBe(8_388_607n * 2n ** 40n);
  expect(() => parseAmount("8388608TB")).toThrow(
    "8388608TB is too large: write at most 8388607TB.",
  );
});
