/** What all tenants together are asked for. */

import { monthOf } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { listMonthsBilled, listPlansBilled, type MonthBilled } from "../store/closed-months.ts";
import { readCreditsLeft } from "../store/credit-notes.ts";
import { type RunningMonth, readRunningMonth } from "../store/running-bills.ts";
import type { Control } from "./control.ts";

/** What a month came to; `name` as in `2026-01`. */
export interface BilledMonth extends Omit<MonthBilled, "month"> {
  readonly name: string;
}

export interface BillingSummary {
  /** The newest months that have invoices, newest first. */
  readonly months: readonly BilledMonth[];
  readonly plans: readonly {
    readonly plan: string;
    readonly tenants: number;
    readonly basePriceMicroUsd: bigint;
  }[];
  /** What the running month comes to so far; `name` as in `2026-01`. */
  readonly running: RunningMonth & { readonly name: string };
  /** What base prices come to in a month with the tenants of now. */
  readonly recurringMicroUsd: bigint;
  /** What credit notes gave and no invoice has used. */
  readonly creditLeftMicroUsd: bigint;
}

const MOST_MONTHS = 24;

export async function summarizeBilling(control: Control): Promise<BillingSummary> {
  const { database } = control;
  const billed = await listMonthsBilled(database, MOST_MONTHS);
  const plans = await listPlansBilled(database);
  const month = monthOf(now());
  return {
    months: billed.map(({ month, ...rest }) => ({ name: monthOf(month).name, ...rest })),
    plans,
    running: { name: month.name, ...(await readRunningMonth(database, month.startsAt)) },
    recurringMicroUsd: plans.reduce(
      (sum, { tenants, basePriceMicroUsd }) => sum + BigInt(tenants) * basePriceMicroUsd,
      0n,
    ),
    creditLeftMicroUsd: await readCreditsLeft(database),
  };
}
