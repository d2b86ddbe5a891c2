import {
  type CalendarMonth,
  Fault,
  type Meter,
  monthAfter,
  monthOf,
  parseMonth,
} from "@aerodb/model";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type InvoiceInputs, inputsText, invoiceOf, roundHalfEven, type Term } from "./invoice.ts";
import { type PriceList, pricesIn } from "./prices.ts";
import { GIB, SAMPLE_PRICES } from "./sample-prices.ts";

const JANUARY = month("2026-01");
const DAY = 86_400n;
const LEDGER_GIB_MONTH = GIB * 31n * DAY * 1_000n;

function month(name: string): CalendarMonth {
  return parseMonth(name) ?? expect.fail(`${name} is no month`);
}

function term(at: string, plan: string | null): Term {
  return { fromAt: new Date(at), plan };
}

function inputs(over: Partial<InvoiceInputs> = {}): InvoiceInputs {
  return {
    month: JANUARY,
    terms: [term("2023-11-05T10:00:00Z", "pro")],
    usage: {},
    prices: SAMPLE_PRICES,
    creditMicroUsd: 0n,
    ...over,
  };
}

function amounts(over: Partial<InvoiceInputs>): Record<string, bigint> {
  const { lines } = invoiceOf(inputs(over));
  return Object.fromEntries(lines.map((line) => [line.subject, line.amountMicroUsd]));
}

describe("months", () => {
  test("are those of the calendar in UTC, leap years and ends of years included", () => {
    expect(month("2024-02").seconds).toBe(29n * DAY);
    expect(month("2023-02").seconds).toBe(28n * DAY);
    expect(month("2000-02").seconds).toBe(29n * DAY);
    expect(monthAfter(month("2025-12"))).toEqual(month("2026-01"));
    expect(monthOf(new Date("2026-03-31T23:59:59.999Z")).name).toBe("2026-03");
    // Clocks were changed in this month in many places, and not in UTC.
    expect(month("2026-03").seconds).toBe(31n * DAY);
    expect(["2026-13", "2026-00", "26-01", "2026-1", ""].map(parseMonth)).toEqual(
      Array(5).fill(undefined),
    );
  });
});

describe("a plan", () => {
  test("costs its base price for a whole month, however long that is", () => {
    for (const name of ["2026-01", "2026-02", "2024-02", "2026-04"]) {
      expect(amounts({ month: month(name) })).toEqual({ pro: 25_000_000n });
    }
  });

  test("is paid to the second from creation to deletion", () => {
    const terms = [
      term("2026-01-10T00:00:00.900Z", "pro"),
      term("2026-01-10T00:00:31.100Z", "enterprise"),
      term("2026-01-20T00:00:00Z", null),
    ];
    const { lines } = invoiceOf(inputs({ terms }));
    expect(lines.map(({ subject, quantity }) => [subject, quantity])).toEqual([
      ["pro", 31n],
      ["enterprise", 10n * DAY - 31n],
    ]);
    // 599 × (864,000 − 31) / 2,678,400 is 193.2196…
    expect(lines.map(({ amountMicroUsd }) => amountMicroUsd)).toEqual([0n, 193_220_000n]);
  });

  test("of a tenant that went away and came back is one line", () => {
    const terms = [
      term("2026-01-01T00:00:00Z", "pro"),
      term("2026-01-02T00:00:00Z", "free"),
      term("2026-01-03T00:00:00Z", "pro"),
    ];
    const { lines } = invoiceOf(inputs({ terms }));
    expect(lines.map(({ subject, quantity }) => [subject, quantity])).toEqual([
      ["pro", 30n * DAY],
      ["free", DAY],
    ]);
  });

  test("without a price cannot be billed", () => {
    const terms = [term("2026-01-01T00:00:00Z", "gold")];
    expect(() => invoiceOf(inputs({ terms }))).toThrow(Fault);
    expect(() => invoiceOf(inputs({ terms }))).toThrow("The plan gold has no price in 2026-01.");
  });
});

describe("usage", () => {
  test("is free up to the allowance, and a gigabyte held for a month costs what the rate says", () => {
    expect(amounts({ usage: { storage_bytes: 100n * LEDGER_GIB_MONTH } })).toMatchObject({
      storage_bytes: 0n,
    });
    const usage = {
      storage_bytes: 104n * LEDGER_GIB_MONTH,
      egress_bytes: 100n * GIB,
      api_requests: 3_000_000n,
      file_bytes: 100n * LEDGER_GIB_MONTH,
    };
    expect(amounts({ usage })).toEqual({
      pro: 25_000_000n,
      storage_bytes: 1_000_000n,
      egress_bytes: 9_000_000n,
      api_requests: 5_000_000n,
      file_bytes: 2_300_000n,
    });
  });

  test("has the allowance of each plan for the time it had", () => {
    const terms = [term("2025-01-01T00:00:00Z", "free"), term("2026-01-16T12:00:00Z", "pro")];
    const { lines } = invoiceOf(inputs({ terms, usage: { api_requests: 505_001n } }));
    const line = lines.find(({ subject }) => subject === "api_requests");
    expect(line).toMatchObject({ allowance: 505_000n, billable: 1n, amountMicroUsd: 0n });
  });

  test("that cannot be is refused, and the largest that can be is billed exactly", () => {
    const largest = 10n ** 18n;
    const { egress_bytes } = amounts({ usage: { egress_bytes: largest } });
    // 931,322,574.6154785… GB at 9 cents.
    expect(egress_bytes).toBe(83_819_031_720_000n);
    expect(() => invoiceOf(inputs({ usage: { api_requests: 10n ** 30n } }))).toThrow("dollars");
  });
});

describe("credit", () => {
  test("pays as much as there is to pay, and the rest stays", () => {
    expect(invoiceOf(inputs({ creditMicroUsd: 30_000_000n }))).toMatchObject({
      ...{ subtotalMicroUsd: 25_000_000n, creditMicroUsd: 25_000_000n, totalMicroUsd: 0n },
    });
    expect(invoiceOf(inputs({ creditMicroUsd: 10_000n })).totalMicroUsd).toBe(24_990_000n);
  });
});

test("of two whole numbers as near, the even one is taken", () => {
  const halves = [1n, 3n, 5n, 7n].map((half) => roundHalfEven(half, 2n));
  expect(halves).toEqual([0n, 2n, 2n, 4n]);
  expect([roundHalfEven(7n, 3n), roundHalfEven(8n, 3n)]).toEqual([2n, 3n]);
});

test("of a price the newest counts that began with the month or before", () => {
  const later = (plan: string, at: string, basePriceMicroUsd: bigint) => ({
    ...{ plan, activeFrom: new Date(at), basePriceMicroUsd, allowances: {} },
  });
  const all: PriceList = {
    rates: [],
    plans: [
      later("pro", "2026-02-01T00:00:00Z", 2n),
      later("pro", "2025-01-01T00:00:00Z", 1n),
      later("pro", "2026-03-01T00:00:00Z", 3n),
      later("new", "2026-03-01T00:00:00Z", 4n),
    ],
  };
  const found = (name: string) =>
    pricesIn(month(name), all).plans.map((price) => price.basePriceMicroUsd);
  expect(found("2024-12")).toEqual([]);
  expect(found("2026-01")).toEqual([1n]);
  expect(found("2026-02")).toEqual([2n]);
  expect(found("2026-03")).toEqual([4n, 3n]);
});

test("the text of inputs is the same for the same, in whatever order they came", () => {
  const one = inputsText(inputs({ usage: { api_requests: 1n, egress_bytes: 2n } }));
  expect(inputsText(inputs({ usage: { egress_bytes: 2n, api_requests: 1n } }))).toBe(one);
  expect(inputsText(inputs({ usage: { egress_bytes: 3n, api_requests: 1n } }))).not.toBe(one);
});

// The same once more, slowly and in another way: slices between all changes, and fractions.

interface Fraction {
  readonly over: bigint;
  readonly under: bigint;
}

function plus(a: Fraction, b: Fraction): Fraction {
  return { over: a.over * b.under + b.over * a.under, under: a.under * b.under };
}

/** The nearest cent, by comparing how far both neighbours are. */
function cents({ over, under }: Fraction): bigint {
  const [scaled, cent] = [over, under * 10_000n];
  const low = scaled / cent;
  const [below, above] = [scaled - low * cent, (low + 1n) * cent - scaled];
  if (below === above) return low + (low & 1n);
  return below < above ? low : low + 1n;
}

function slowInvoice({ month, terms, usage, prices, creditMicroUsd }: InvoiceInputs) {
  const [year = 0, number = 0] = month.name.split("-").map(Number);
  const begin = Date.UTC(year, number - 1, 1) / 1_000;
  const end = Date.UTC(number === 12 ? year + 1 : year, number === 12 ? 0 : number, 1) / 1_000;
  const changes = terms.map(({ fromAt }) => Math.floor(fromAt.getTime() / 1_000));
  const edges = [...new Set([begin, end, ...changes])]
    .filter((edge) => edge >= begin && edge <= end)
    .sort((a, b) => a - b);
  const slices = edges.slice(1).flatMap((to, at) => {
    const from = edges[at] ?? begin;
    const current = terms.findLast((_, index) => (changes[index] ?? 0) <= from);
    const price = prices.plans.find(({ plan }) => plan === current?.plan);
    return price === undefined ? [] : [{ price, seconds: BigInt(to - from) }];
  });
  const length = BigInt(end - begin);
  const base = prices.plans.map(({ plan, basePriceMicroUsd }) => {
    const mine = slices.filter(({ price }) => price.plan === plan);
    const parts = mine.map(({ seconds }) => ({ over: basePriceMicroUsd * seconds, under: length }));
    return cents(parts.reduce(plus, { over: 0n, under: 1n }));
  });
  const used = prices.rates.map(({ meter, microUsd, perUnits }) => {
    const amount = usage[meter] ?? 0n;
    const gauge = meter === "storage_bytes" || meter === "file_bytes";
    const free = slices
      .map(({ price, seconds }) => ({
        over: (price.allowances[meter] ?? 0n) * seconds * (gauge ? 1_000n : 1n),
        under: gauge ? 1n : length,
      }))
      .reduce(plus, { over: 0n, under: 1n });
    const whole = free.over / free.under + (free.over % free.under === 0n ? 0n : 1n);
    const paid = amount <= whole ? 0n : amount - whole;
    return cents({ over: paid * microUsd, under: perUnits * (gauge ? length * 1_000n : 1n) });
  });
  const subtotal = [...base, ...used].reduce((sum, each) => sum + each * 10_000n, 0n);
  const left = subtotal - creditMicroUsd;
  return { subtotal, total: left < 0n ? 0n : left, carried: left < 0n ? -left : 0n };
}

const anyMonth = fc
  .tuple(fc.integer({ min: 1999, max: 2101 }), fc.integer({ min: 1, max: 12 }))
  .map(([year, number]) => month(`${year}-${String(number).padStart(2, "0")}`));
const anyPlan = fc.constantFrom("free", "pro", "enterprise", null);

function anyTerms({ startsAt, endsAt }: CalendarMonth): fc.Arbitrary<readonly Term[]> {
  const span = { min: startsAt.getTime() - 40 * 86_400_000, max: endsAt.getTime() - 1 };
  const edges = fc.constantFrom(startsAt.getTime(), startsAt.getTime() - 1, endsAt.getTime() - 1);
  const at = fc.oneof(fc.integer(span), edges);
  return fc
    .uniqueArray(fc.tuple(at, anyPlan), { selector: ([ms]) => ms, maxLength: 12 })
    .map((all) => all.sort(([a], [b]) => a - b))
    .map((all) => all.map(([ms, plan]) => ({ fromAt: new Date(ms), plan })));
}

function anyUsage({ seconds }: CalendarMonth): fc.Arbitrary<Partial<Record<Meter, bigint>>> {
  const counted = fc.oneof(fc.constant(0n), fc.bigInt(0n, 5_000_000n), fc.bigInt(0n, 10n ** 18n));
  const held = fc
    .oneof(fc.constant(0n), fc.bigInt(0n, 200n * GIB), fc.bigInt(0n, 10n ** 18n))
    .chain((level) => fc.bigInt(0n, seconds * 1_000n).map((ms) => level * ms));
  return fc.record(
    { api_requests: counted, egress_bytes: counted, storage_bytes: held, file_bytes: held },
    { requiredKeys: [] },
  );
}

const anyInputs = anyMonth.chain((of) =>
  fc.record({
    month: fc.constant(of),
    terms: anyTerms(of),
    usage: anyUsage(of),
    prices: fc.constant(SAMPLE_PRICES),
    creditMicroUsd: fc.oneof(fc.constant(0n), fc.bigInt(0n, 10n ** 9n), fc.bigInt(0n, 10n ** 16n)),
  }),
);

test("every invoice is what an independent computation makes of the same", () => {
  fc.assert(
    fc.property(anyInputs, (given) => {
      const invoice = invoiceOf(given);
      const slow = slowInvoice(given);
      expect(invoice.subtotalMicroUsd).toBe(slow.subtotal);
      expect(invoice.totalMicroUsd).toBe(slow.total);
      expect(given.creditMicroUsd - invoice.creditMicroUsd).toBe(
        slow.carried > 0n ? slow.carried : 0n,
      );
      expect(invoice.totalMicroUsd % 10_000n).toBe(slow.total % 10_000n);
      for (const line of invoice.lines) expect(line.amountMicroUsd % 10_000n).toBe(0n);
    }),
    { numRuns: 2_000 },
  );
});
