/** Showing invoices: the closed ones as they were closed, and what the month so far comes to. */
import {
  type CalendarMonth,
  Fault,
  type InvoiceId,
  isMeter,
  monthOf,
  type TenantId,
} from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { forecastOf } from "../metering/forecast.ts";
import {
  type InvoiceAmounts,
  type InvoiceInputs,
  type InvoiceLine,
  invoiceOf,
} from "../metering/invoice.ts";
import { type LineText, lineText } from "../metering/invoice-text.ts";
import { readCredits } from "../store/credit-notes.ts";
import * as store from "../store/invoices.ts";
import { readGauges } from "../store/usage-report.ts";
import type { Control } from "./control.ts";
import { belowNumber, invoiceNotFound, numberToken, requireBilled } from "./credit-notes.ts";
import { digestOf, readInputs, readPrices } from "./invoice-build.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";
import { couldBeText } from "./text.ts";

export type { InvoiceAmounts };

export interface Invoice extends InvoiceAmounts {
  readonly tenantId: TenantId;
  readonly tenantName: string;
  readonly month: CalendarMonth;
  readonly lines: readonly InvoiceLine[];
  readonly inputsSha256: string;
  /** Undefined as long as the month runs. */
  readonly closed:
    | { readonly id: InvoiceId; readonly number: bigint; readonly at: Date }
    | undefined;
  /**
   * What the month will come to when it goes on as it does; undefined of a closed one, and where
   * that is more than can be.
   */
  readonly forecast: InvoiceAmounts | undefined;
}

export interface InvoicePage {
  readonly invoices: readonly Invoice[];
  readonly nextPageToken: string;
}

/** A line as people read it. */
export function textOfLine(line: InvoiceLine, month: CalendarMonth): LineText {
  return lineText(line, month);
}

/** What the running month's invoice is called in place of an id. */
export const CURRENT = "current";

/** A page of closed invoices, newest first, without their lines. TENANT_NOT_FOUND. */
export async function listInvoices(
  control: Control,
  ask: { readonly tenant: string; readonly pageSize?: number; readonly pageToken?: string },
): Promise<InvoicePage> {
  const { id } = await requireBilled(control, ask.tenant);
  const limit = pageSizeOf(ask.pageSize);
  const filters = ["invoices", id];
  const below = readPageToken(filters, ask.pageToken);
  const found = await store.listInvoices(control.database, id, {
    below: belowNumber(below),
    limit: limit + 1,
  });
  const page = found.slice(0, limit);
  const last = found.length > limit ? page.at(-1) : undefined;
  return {
    invoices: page.map((row) => viewClosed(row, [])),
    nextPageToken: last === undefined ? "" : makePageToken(filters, numberToken(last)),
  };
}

/** A closed invoice by its id, or the `current` one. TENANT_NOT_FOUND, INVOICE_NOT_FOUND. */
export async function getInvoice(
  control: Control,
  tenant: string,
  invoice: string,
): Promise<Invoice> {
  const billed = await requireBilled(control, tenant);
  if (invoice === CURRENT) return currentInvoice(control, billed, now());
  const row = couldBeText(invoice)
    ? await store.findInvoice(control.database, billed.id, invoice)
    : undefined;
  if (row === undefined) throw invoiceNotFound(invoice);
  const lines = await store.readInvoiceLines(control.database, [row.id]);
  return viewClosed(row, lines.get(row.id) ?? []);
}

function viewClosed(row: store.InvoiceRow, lines: readonly InvoiceLine[]): Invoice {
  const { id, number, closedAt: at, month, ...rest } = row;
  return { ...rest, month: monthOf(month), lines, closed: { id, number, at }, forecast: undefined };
}

/**
 * What the tenant owes for the running month if it uses no more and its plan stays, and what it
 * will owe if it goes on as it does. The whole month's base price and allowances are in both.
 */
export async function currentInvoice(
  control: Control,
  tenant: { readonly id: TenantId; readonly name: string },
  at: Date,
): Promise<Invoice> {
  const { database } = control;
  const month = monthOf(at);
  const tenantIds = [tenant.id];
  const credits = await readCredits(database, tenantIds);
  const prices = await readPrices(database, month);
  const [found] = await readInputs(database, { month, prices, tenantIds, credits });
  if (found === undefined) throw new Error("bug: a tenant has no inputs");
  const { inputs } = found;
  const priced = new Set(prices.rates.map(({ meter }) => meter));
  const gauges = (await readGauges(database, tenant.id))
    .filter(({ meter }) => isMeter(meter) && priced.has(meter))
    .map(({ meter, value }) => [meter, value]);
  const later = forecastOf(inputs, { at, gauges: Object.fromEntries(gauges) });
  return {
    ...invoiceOf(inputs),
    ...{ tenantId: tenant.id, tenantName: tenant.name, month, forecast: amountsOf(later) },
    inputsSha256: digestOf(inputs),
    closed: undefined,
  };
}

/** Undefined when it cannot be billed: that keeps nobody from seeing what the month is so far. */
function amountsOf(inputs: InvoiceInputs): InvoiceAmounts | undefined {
  try {
    const { lines: _, ...amounts } = invoiceOf(inputs);
    return amounts;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return undefined;
  }
}
