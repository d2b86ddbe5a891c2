/** Prices, and what a plan would cost with some usage. What is in force is never edited. */
import { isDeepStrictEqual } from "node:util";
import { type CalendarMonth, Fault, isMeter, METERS, type Meter, monthOf } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { type InvoiceContent, invoiceOf } from "../metering/invoice.ts";
import type { PlanPrice, Rate } from "../metering/prices.ts";
import * as store from "../store/prices.ts";
import type { Caller, Control } from "./control.ts";
import { readPrices } from "./invoice-build.ts";
import { requireMonth } from "./named-month.ts";
import { planNotFound } from "./plans.ts";
import { requireText } from "./text.ts";

export type { PlanPrice, Rate };

/** Units by the names of meters, as a caller gives them. */
export type UnitsByMeter = Readonly<Record<string, bigint>>;

export interface Calculation extends InvoiceContent {
  readonly month: CalendarMonth;
}

export function listRates(control: Control): Promise<readonly Rate[]> {
  return store.listRates(control.database);
}

export function listPlanPrices(control: Control): Promise<readonly PlanPrice[]> {
  return store.listPlanPrices(control.database);
}

export interface NewRate {
  readonly meter: string;
  /** `2027-01`, a month to come. */
  readonly activeFrom: string;
  readonly microUsd: bigint;
  readonly perUnits: bigint;
}

/**
 * Adds a rate from a month to come; a repeat returns what is there. INVALID_ARGUMENT; PRICE_EXISTS
 * when that month has another one.
 */
export async function createRate(control: Control, caller: Caller, ask: NewRate): Promise<Rate> {
  const meter = requireBillable(ask.meter);
  const activeFrom = requireFuture(ask.activeFrom).startsAt;
  const { microUsd, perUnits } = ask;
  const rate = { meter, activeFrom, microUsd, perUnits };
  const by = { principal: caller.principal, eventRequestId: caller.requestId };
  if (await store.insertRate(control.database, { ...rate, ...by })) return rate;
  const rates = await listRates(control);
  if (rates.some((there) => isDeepStrictEqual(there, rate))) return rate;
  throw priceExists(`The meter ${meter} has a rate`, ask.activeFrom);
}

export interface NewPlanPrice {
  readonly plan: string;
  readonly activeFrom: string;
  readonly basePriceMicroUsd: bigint;
  readonly allowances: UnitsByMeter;
}

/** Adds a plan's price from a month to come. PLAN_NOT_FOUND, and as of a rate. */
export async function createPlanPrice(
  control: Control,
  caller: Caller,
  ask: NewPlanPrice,
): Promise<PlanPrice> {
  const { plan, basePriceMicroUsd } = ask;
  await requirePriced(control, plan);
  const activeFrom = requireFuture(ask.activeFrom).startsAt;
  const price = { plan, activeFrom, basePriceMicroUsd, allowances: byMeter(ask.allowances) };
  const by = { principal: caller.principal, eventRequestId: caller.requestId };
  if (await store.insertPlanPrice(control.database, { ...price, ...by })) return price;
  const prices = await listPlanPrices(control);
  if (prices.some((there) => isDeepStrictEqual(there, price))) return price;
  throw priceExists(`The plan ${plan} has a price`, ask.activeFrom);
}

/**
 * What this month would cost on a plan, all of it, with some usage: of a counter what it counts in
 * the month, of a gauge what it is on average. PLAN_NOT_FOUND, INVALID_ARGUMENT.
 */
export async function calculatePrice(
  control: Control,
  ask: { readonly plan: string; readonly usage: UnitsByMeter },
): Promise<Calculation> {
  await requirePriced(control, ask.plan);
  const month = monthOf(now());
  const prices = await readPrices(control.database, month);
  const used = Object.entries(byMeter(ask.usage)).map(([meter, units]) => {
    const held = METERS[meter as Meter].kind === "gauge";
    return [meter, held ? units * month.seconds * 1_000n : units];
  });
  const usage = Object.fromEntries(used) as Partial<Record<Meter, bigint>>;
  const terms = [{ fromAt: month.startsAt, plan: ask.plan }];
  return { ...invoiceOf({ month, terms, usage, prices, creditMicroUsd: 0n }), month };
}

async function requirePriced(control: Control, plan: string): Promise<void> {
  requireText("The plan", plan);
  const prices = await store.listPlanPrices(control.database);
  if (!prices.some((price) => price.plan === plan)) throw await planNotFound(control, plan);
}

function byMeter(units: UnitsByMeter): Partial<Record<Meter, bigint>> {
  return Object.fromEntries(
    Object.entries(units).map(([name, count]) => [requireBillable(name), count]),
  );
}

const BILLABLE = Object.entries(METERS).flatMap(([name, { kind }]) =>
  kind === "peak" ? [] : [name],
);

function requireBillable(name: string): Meter {
  if (isMeter(name) && METERS[name].kind !== "peak") return name;
  const sentence = `Nothing is billed by ${JSON.stringify(name)}: use ${BILLABLE.join(", ")}.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

function requireFuture(text: string): CalendarMonth {
  const month = requireMonth(text);
  if (month.startsAt > now()) return month;
  const sentence = `${text} has begun: a price counts from the first of a month to come.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

function priceExists(what: string, month: string): Fault {
  return new Fault("PRICE_EXISTS", `${what} from ${month} on already, and none is edited.`);
}
