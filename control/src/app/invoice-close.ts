/**
 * Closing: every tenant gets one invoice of each month, some days after its end, and it is never
 * changed. It may be cut off anywhere and begun again, by several controls at once: an invoice and
 * its number are there together or not at all, and a tenant and a month have one.
 */
import { type CalendarMonth, Fault, monthAfter, monthOf, type TenantId } from "@aerodb/model";
import { failpoint, newId, now } from "@aerodb/runtime";
import { invoiceOf } from "../metering/invoice.ts";
import type { PriceList } from "../metering/prices.ts";
import { noteClosedMonth, readClosing } from "../store/closed-months.ts";
import { readCredits, takeBillNumber } from "../store/credit-notes.ts";
import { insertDeliveries } from "../store/invoice-deliveries.ts";
import { isRollUpBehind, listUnbilled, stillUnbilled } from "../store/invoice-inputs.ts";
import { insertInvoices, type NewInvoice } from "../store/invoices.ts";
import type { Control } from "./control.ts";
import { digestOf, readInputs, readPrices, type TenantInputs } from "./invoice-build.ts";

const DAY_MS = 86_400_000;
/** Gateways and hosts that were away have brought what they measured until then. */
const GRACE_DAYS = 3;
/** Each in a transaction of its own, while no other invoice is made. */
const TENANTS_AT_ONCE = 100;
/** Other jobs wait meanwhile; the next pass goes on. */
const MOST_TENANTS_A_PASS = 5_000;

/** Closes what is due. Returns how many invoices it made. */
export async function closeInvoices(control: Control, at: Date = now()): Promise<number> {
  const { firstPriceAt, closed } = await readClosing(control.database);
  if (firstPriceAt === null) return 0;
  const graceMs = (control.settings.invoiceGraceDays ?? GRACE_DAYS) * DAY_MS;
  const done = new Set(closed.map((month) => month.getTime()));
  let made = 0;
  for (let month = monthOf(firstPriceAt); isDue(month, at, graceMs); month = monthAfter(month)) {
    if (done.has(month.startsAt.getTime())) continue;
    if (await isRollUpBehind(control.database, month.endsAt)) {
      const { name } = month;
      control.logger.warn({ month: name }, "not closed: not all of its usage is rolled up");
      return made;
    }
    made += await closeMonth(control, month, MOST_TENANTS_A_PASS - made);
    if (made >= MOST_TENANTS_A_PASS) return made;
  }
  return made;
}

function isDue({ endsAt }: CalendarMonth, at: Date, graceMs: number): boolean {
  return endsAt.getTime() + graceMs <= at.getTime();
}

async function closeMonth(control: Control, month: CalendarMonth, most: number): Promise<number> {
  const { database } = control;
  const prices = await readPrices(database, month);
  let [made, refused, after] = [0, 0, ""];
  for (;;) {
    const limit = TENANTS_AT_ONCE;
    const tenantIds = await listUnbilled(database, month, { after, limit });
    const last = tenantIds.at(-1);
    if (last === undefined) break;
    const closing = await closeSome(control, { month, prices, tenantIds });
    made += closing.made;
    refused += closing.refused;
    after = last;
    if (made >= most) return made;
  }
  if (refused > 0) return made;
  await failpoint("control.invoices.before_month");
  await noteClosedMonth(database, month.startsAt, month.name);
  await failpoint("control.invoices.after_month");
  control.logger.info({ month: month.name, invoices: made }, "closed a month");
  return made;
}

interface Batch {
  readonly month: CalendarMonth;
  readonly prices: PriceList;
  readonly tenantIds: readonly TenantId[];
}

/** Makes the invoices of some tenants in one transaction, those that another made left out. */
async function closeSome(
  control: Control,
  { month, prices, tenantIds: asked }: Batch,
): Promise<{ readonly made: number; readonly refused: number }> {
  const closing = await control.database.transaction(async (db) => {
    const number = await takeBillNumber(db);
    const tenantIds = await stillUnbilled(db, month.startsAt, asked);
    const credits = await readCredits(db, tenantIds);
    const tenants = await readInputs(db, { month, prices, tenantIds, credits });
    const invoices = invoicesOf(control, tenants, number);
    await failpoint("control.invoices.before_insert");
    await insertInvoices(db, invoices);
    const asking = invoices.filter(({ totalMicroUsd }) => totalMicroUsd > 0n).map(({ id }) => id);
    if (control.payments !== undefined) await insertDeliveries(db, control.payments.name, asking);
    await failpoint("control.invoices.before_commit");
    return { made: invoices.length, refused: tenants.length - invoices.length };
  });
  await failpoint("control.invoices.after_commit");
  return closing;
}

/** Who cannot be billed keeps nobody else from it. */
function invoicesOf(
  control: Control,
  tenants: readonly TenantInputs[],
  firstNumber: bigint,
): readonly NewInvoice[] {
  const invoices: NewInvoice[] = [];
  for (const { tenantId, tenantName, inputs } of tenants) {
    try {
      invoices.push({
        ...invoiceOf(inputs),
        id: newId("inv"),
        number: firstNumber + BigInt(invoices.length),
        month: inputs.month.startsAt,
        inputsSha256: digestOf(inputs),
        ...{ tenantId, tenantName },
      });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const { message: because } = error;
      control.logger.error({ tenantId, month: inputs.month.name, because }, "cannot be billed");
    }
  }
  return invoices;
}
