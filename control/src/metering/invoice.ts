/**
 * The invoice of a month, as a pure function of what the ledger, the tenant's plans and the prices
 * say. Money is whole numbers of millionths of a dollar; each line is rounded once, to whole cents.
 */
import { type CalendarMonth, Fault, METERS, type Meter, secondOf } from "@aerodb/model";
import type { PriceList, Rate } from "./prices.ts";

/** From when a tenant was on a plan; null: on none, for it had ended. */
export interface Term {
  readonly fromAt: Date;
  readonly plan: string | null;
}

/** Everything that an invoice follows from. */
export interface InvoiceInputs {
  readonly month: CalendarMonth;
  /** In order of time; the last holds to the end of the month. */
  readonly terms: readonly Term[];
  /** Sums of the records of the month: of a gauge its value times milliseconds. */
  readonly usage: Readonly<Partial<Record<Meter, bigint>>>;
  /** Those of the month. */
  readonly prices: PriceList;
  /** What credit notes left for this invoice. */
  readonly creditMicroUsd: bigint;
}

export type LineKind = "plan" | "usage";

export interface InvoiceLine {
  readonly kind: LineKind;
  /** A plan or a meter. */
  readonly subject: string;
  /** Seconds on the plan; what the meter counted, of a gauge units times milliseconds. */
  readonly quantity: bigint;
  readonly allowance: bigint;
  readonly billable: bigint;
  readonly microUsd: bigint;
  readonly per: bigint;
  /** `billable * microUsd / per`, rounded half to even to whole cents. */
  readonly amountMicroUsd: bigint;
}

export interface InvoiceAmounts {
  readonly subtotalMicroUsd: bigint;
  /** What credit notes pay of it. */
  readonly creditMicroUsd: bigint;
  readonly totalMicroUsd: bigint;
}

export interface InvoiceContent extends InvoiceAmounts {
  readonly lines: readonly InvoiceLine[];
}

export const CENT = 10_000n;
/** The most that 64 bits hold, and more than all the money there is: a meter has lied. */
const MOST = 9_000_000_000_000_000_000n;
const MS = 1_000n;

/** NOT_BILLABLE when there is no price for a plan, or when it comes to more than can be. */
export function invoiceOf(inputs: InvoiceInputs): InvoiceContent {
  const seconds = secondsByPlan(inputs.month, inputs.terms);
  const lines = [...planLines(inputs, seconds), ...usageLines(inputs, seconds)];
  const subtotalMicroUsd = lines.reduce((sum, line) => sum + line.amountMicroUsd, 0n);
  if (subtotalMicroUsd > MOST) {
    throw new Fault("NOT_BILLABLE", `It comes to ${subtotalMicroUsd / 1_000_000n} dollars.`);
  }
  const { creditMicroUsd: left } = inputs;
  const creditMicroUsd = left < subtotalMicroUsd ? left : subtotalMicroUsd;
  const totalMicroUsd = subtotalMicroUsd - creditMicroUsd;
  return { lines, subtotalMicroUsd, creditMicroUsd, totalMicroUsd };
}

/** How many seconds of the month each plan had: each is of the last term that begins in it. */
export function secondsByPlan(
  month: CalendarMonth,
  terms: readonly Term[],
): ReadonlyMap<string, bigint> {
  const [start, end] = [secondOf(month.startsAt), secondOf(month.endsAt)];
  const seconds = new Map<string, bigint>();
  for (const [index, { plan, fromAt }] of terms.entries()) {
    const next = terms[index + 1];
    const from = within(secondOf(fromAt), start, end);
    const to = next === undefined ? end : within(secondOf(next.fromAt), start, end);
    if (plan !== null && to > from) seconds.set(plan, (seconds.get(plan) ?? 0n) + to - from);
  }
  return seconds;
}

function within(second: bigint, start: bigint, end: bigint): bigint {
  if (second < start) return start;
  return second > end ? end : second;
}

function planLines(
  { month, prices }: InvoiceInputs,
  seconds: ReadonlyMap<string, bigint>,
): InvoiceLine[] {
  return [...seconds].map(([plan, quantity]) => {
    const price = prices.plans.find((each) => each.plan === plan);
    if (price === undefined) {
      throw new Fault("NOT_BILLABLE", `The plan ${plan} has no price in ${month.name}.`);
    }
    const cost = { microUsd: price.basePriceMicroUsd, per: month.seconds };
    return lineOf({ kind: "plan", subject: plan, quantity, allowance: 0n, ...cost });
  });
}

function usageLines(inputs: InvoiceInputs, seconds: ReadonlyMap<string, bigint>): InvoiceLine[] {
  return inputs.prices.rates.flatMap((rate) => {
    const quantity = inputs.usage[rate.meter] ?? 0n;
    if (quantity === 0n) return [];
    const { meter: subject, microUsd } = rate;
    const allowance = allowanceOf(rate.meter, inputs, seconds);
    const per = rate.perUnits * unitsOfMonth(rate, inputs.month);
    return [lineOf({ kind: "usage", subject, quantity, allowance, microUsd, per })];
  });
}

/** What one unit of a rate comes to in the ledger when it is held for all the month, or once. */
function unitsOfMonth({ meter }: Pick<Rate, "meter">, month: CalendarMonth): bigint {
  return METERS[meter].kind === "gauge" ? month.seconds * MS : 1n;
}

/** Each plan gives its share for the time it had; what is no whole unit then is rounded up. */
function allowanceOf(
  meter: Meter,
  { month, prices }: InvoiceInputs,
  seconds: ReadonlyMap<string, bigint>,
): bigint {
  const unitSeconds = [...seconds].reduce((sum, [plan, had]) => {
    const price = prices.plans.find((each) => each.plan === plan);
    return sum + (price?.allowances[meter] ?? 0n) * had;
  }, 0n);
  if (METERS[meter].kind === "gauge") return unitSeconds * MS;
  return (unitSeconds + month.seconds - 1n) / month.seconds;
}

function lineOf(line: Omit<InvoiceLine, "billable" | "amountMicroUsd">): InvoiceLine {
  const { quantity, allowance, microUsd, per } = line;
  const billable = quantity > allowance ? quantity - allowance : 0n;
  const cents = roundHalfEven(billable * microUsd, per * CENT);
  return { ...line, billable, amountMicroUsd: cents * CENT };
}

/** The whole number next to a fraction that is not negative; of two as near, the even one. */
export function roundHalfEven(numerator: bigint, denominator: bigint): bigint {
  const whole = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  const up = twice > denominator || (twice === denominator && whole % 2n === 1n);
  return up ? whole + 1n : whole;
}

/** The inputs as text, the same for the same: what a digest is taken of. */
export function inputsText({ month, terms, usage, prices, creditMicroUsd }: InvoiceInputs): string {
  const used = Object.entries(usage).sort(([a], [b]) => (a < b ? -1 : 1));
  const list = {
    month: month.name,
    terms: terms.map(({ fromAt, plan }) => [secondOf(fromAt), plan]),
    usage: used,
    rates: prices.rates.map((rate) => [rate.meter, rate.microUsd, rate.perUnits]),
    plans: prices.plans.map(({ plan, basePriceMicroUsd, allowances }) => [
      plan,
      basePriceMicroUsd,
      Object.entries(allowances).sort(([a], [b]) => (a < b ? -1 : 1)),
    ]),
    credit: creditMicroUsd,
  };
  return JSON.stringify(list, (_, value: unknown) =>
    typeof value === "bigint" ? value.toString() : value,
  );
}
