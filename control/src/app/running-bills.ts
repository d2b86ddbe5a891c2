/**
 * What the running month comes to for every tenant, kept so that it can be compared with caps and
 * added up at once. Who has a cap is derived in every pass, the others in turn.
 */
import { type CalendarMonth, Fault, monthOf, type TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { type InvoiceInputs, invoiceOf } from "../metering/invoice.ts";
import type { PriceList } from "../metering/prices.ts";
import { readCredits } from "../store/credit-notes.ts";
import {
  dropEarlierBills,
  listBillsToDerive,
  type RunningBill,
  writeRunningBills,
} from "../store/running-bills.ts";
import type { Control } from "./control.ts";
import { readInputs, readPrices } from "./invoice-build.ts";

/** In one statement. */
const TENANTS_AT_ONCE = 100;
/** A pass is of a minute; what is left comes first in the next. */
const MOST_CAPPED = 5_000;
const MOST_OTHERS = 500;
/** Of who has no cap; records of gauges come once an hour anyway. */
const GOOD_FOR_MS = 600_000;

/** Derives the bills that are due. Repeatable. */
export async function deriveRunningBills(control: Control, at: Date = now()): Promise<void> {
  const { database } = control;
  const month = monthOf(at);
  await dropEarlierBills(database, month.startsAt);
  const tenantIds = await listBillsToDerive(database, month, {
    ...{ capped: MOST_CAPPED, others: MOST_OTHERS },
    olderThan: new Date(at.getTime() - GOOD_FOR_MS),
  });
  await deriveBillsOf(control, tenantIds, at);
}

/** Derives the bills of these tenants, however new they are. */
export async function deriveBillsOf(
  control: Control,
  tenantIds: readonly TenantId[],
  at: Date = now(),
): Promise<void> {
  if (tenantIds.length === 0) return;
  const month = monthOf(at);
  const prices = await readPrices(control.database, month);
  for (let from = 0; from < tenantIds.length; from += TENANTS_AT_ONCE) {
    const some = tenantIds.slice(from, from + TENANTS_AT_ONCE);
    await deriveSome(control, { month, prices, tenantIds: some });
  }
}

async function deriveSome(
  { database }: Control,
  asked: {
    readonly month: CalendarMonth;
    readonly prices: PriceList;
    readonly tenantIds: readonly TenantId[];
  },
): Promise<void> {
  const credits = await readCredits(database, asked.tenantIds);
  const tenants = await readInputs(database, { ...asked, credits });
  const bills = tenants.map(({ tenantId, inputs }) => billOf(tenantId, inputs));
  await writeRunningBills(database, asked.month.startsAt, bills);
}

/** Closing tells of who cannot be billed; here it is only not counted. */
function billOf(tenantId: TenantId, inputs: InvoiceInputs): RunningBill {
  try {
    const { subtotalMicroUsd, creditMicroUsd } = invoiceOf(inputs);
    return { tenantId, subtotalMicroUsd, creditMicroUsd };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { tenantId, subtotalMicroUsd: undefined, creditMicroUsd: undefined };
  }
}
