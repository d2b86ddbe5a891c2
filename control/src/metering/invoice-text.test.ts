import { parseMonth } from "@aerodb/model";
import { expect, test } from "vitest";
import { invoiceOf } from "./invoice.ts";
import { decimalText, lineText } from "./invoice-text.ts";
import { GIB, SAMPLE_PRICES } from "./sample-prices.ts";

test("fractions become decimals", () => {
  expect(decimalText(1n, 3n, 3)).toBe("0.333");
  expect(decimalText(10n ** 24n, 7n, 0)).toBe("142857142857142857142857");
});

test("lines say what was used, what was free and what the rest costs", () => {
  const month = parseMonth("2026-04") ?? expect.fail();
  const { lines } = invoiceOf({
    month,
    terms: [{ fromAt: new Date("2026-04-15T12:00:00Z"), plan: "pro" }],
    usage: {
      api_requests: 1_500_000n,
      egress_bytes: 3n * GIB,
      storage_bytes: 60n * GIB * month.seconds * 1_000n,
      cpu_seconds: 5_000n,
    },
    prices: {
      ...SAMPLE_PRICES,
      rates: [
        ...SAMPLE_PRICES.rates,
        { meter: "cpu_seconds", activeFrom: month.startsAt, microUsd: 90_000n, perUnits: 3_600n },
      ],
    },
    creditMicroUsd: 0n,
  });
  expect(lines.map((line) => Object.values(lineText(line, month)).join(" | "))).toEqual([
    "Plan pro | days | 15.500 | 0.000 | 15.500 | $25.00 per month",
    "API requests | requests | 1500000 | 516667 | 983333 | $2.50 per million requests",
    "Data sent | GB | 3.000 | 0.000 | 3.000 | $0.09 per GB",
    "Database storage | GB-month | 60.000 | 51.667 | 8.333 | $0.25 per GB-month",
    "Cpu seconds | seconds | 5000 | 0 | 5000 | $0.09 per 3,600 seconds",
  ]);
});
