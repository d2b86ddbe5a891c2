import { expect, test } from "vitest";
import { grouped, moneyText, parseMoney } from "./money.ts";

test("money has two digits after the point, and more where there are more", () => {
  const said = [0n, 10_000n, 23_000n, 1n, 1_234_567_890_000n, -5_500_000n].map(moneyText);
  expect(said).toEqual(["$0.00", "$0.01", "$0.023", "$0.000001", "$1,234,567.89", "-$5.50"]);
});

test("money is read to the millionth, and nothing else is taken for money", () => {
  const read = ["12", "12.5", "$0.023", "0.000001"].map(parseMoney);
  expect(read).toEqual([12_000_000n, 12_500_000n, 23_000n, 1n]);
  const wrong = ["", "-1", "1.0000001", "1e3", "ten", "1."].map(parseMoney);
  expect(wrong).toEqual(Array(6).fill(undefined));
});

test("thousands are parted", () => {
  expect(["1234567.8901", "100", "1000"].map(grouped)).toEqual(["1,234,567.8901", "100", "1,000"]);
});
