import { parseMonth } from "@aerodb/model";
import { expect, test } from "vitest";
import { forecastOf } from "./forecast.ts";
import type { InvoiceInputs, Term } from "./invoice.ts";
import { SAMPLE_PRICES } from "./sample-prices.ts";

const DAY_MS = 86_400_000n;

function inputs(terms: readonly Term[]): InvoiceInputs {
  const month = parseMonth("2026-04") ?? expect.fail();
  const usage = { api_requests: 1_000n, storage_bytes: 10n * DAY_MS };
  return { month, terms, usage, prices: SAMPLE_PRICES, creditMicroUsd: 0n };
}

const SINCE_MARCH: Term = { fromAt: new Date("2026-03-01T00:00:00Z"), plan: "pro" };

test("counters go on as they did, gauges hold what they are", () => {
  const at = new Date("2026-04-11T00:00:00Z");
  const gauges = { storage_bytes: 5n, file_bytes: 2n };
  expect(forecastOf(inputs([SINCE_MARCH]), { at, gauges }).usage).toEqual({
    api_requests: 3_000n,
    storage_bytes: (10n + 5n * 20n) * DAY_MS,
    file_bytes: 2n * 20n * DAY_MS,
  });
});

test("what a tenant used since it came is not taken for a month's", () => {
  const came: Term = { fromAt: new Date("2026-04-21T00:00:00Z"), plan: "pro" };
  const at = new Date("2026-04-26T00:00:00Z");
  const { usage } = forecastOf(inputs([came]), { at, gauges: {} });
  expect(usage.api_requests).toBe(2_000n);
});

test("of a tenant that ended, and of a month that did, nothing more comes", () => {
  const ended: Term = { fromAt: new Date("2026-04-05T00:00:00Z"), plan: null };
  const given = inputs([SINCE_MARCH, ended]);
  const gauges = { storage_bytes: 5n };
  expect(forecastOf(given, { at: new Date("2026-04-11T00:00:00Z"), gauges })).toBe(given);
  const past = inputs([SINCE_MARCH]);
  expect(forecastOf(past, { at: new Date("2026-05-01T00:00:00Z"), gauges })).toBe(past);
});
