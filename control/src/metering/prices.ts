/** What is asked, by the month from which on: dated, never edited, one of each in a month. */
import type { CalendarMonth, Meter } from "@aerodb/model";

export interface Rate {
  readonly meter: Meter;
  readonly activeFrom: Date;
  /** So much for `perUnits`: of a counter units, of a gauge units held for all the month. */
  readonly microUsd: bigint;
  readonly perUnits: bigint;
}

export interface PlanPrice {
  readonly plan: string;
  readonly activeFrom: Date;
  readonly basePriceMicroUsd: bigint;
  /** Units that the base price includes: in the month, or of a gauge held for all of it. */
  readonly allowances: Readonly<Partial<Record<Meter, bigint>>>;
}

/** What is asked in one month. */
export interface PriceList {
  readonly rates: readonly Rate[];
  readonly plans: readonly PlanPrice[];
}

/** Of each meter and plan the newest that is in force in the month, in order of their names. */
export function pricesIn(month: CalendarMonth, all: PriceList): PriceList {
  return {
    rates: newestOf(all.rates, month, ({ meter }) => meter),
    plans: newestOf(all.plans, month, ({ plan }) => plan),
  };
}

function newestOf<Price extends { readonly activeFrom: Date }>(
  prices: readonly Price[],
  month: CalendarMonth,
  nameOf: (price: Price) => string,
): readonly Price[] {
  const newest = new Map<string, Price>();
  for (const price of prices) {
    const name = nameOf(price);
    const known = newest.get(name);
    if (price.activeFrom > month.startsAt) continue;
    if (known === undefined || known.activeFrom < price.activeFrom) newest.set(name, price);
  }
  return [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, price]) => price);
}
