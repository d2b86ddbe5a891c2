/** Derives closed invoices anew from the ledger, and compares them to the cent. */

import type { CalendarMonth } from "@aerodb/model";
import { Fault, type InvoiceId, type TenantId } from "@aerodb/model";
import { type InvoiceContent, type InvoiceLine, invoiceOf } from "../metering/invoice.ts";
import { readClosing } from "../store/closed-months.ts";
import { listUnbilled } from "../store/invoice-inputs.ts";
import { type InvoiceToVerify, listInvoicesToVerify, readInvoiceLines } from "../store/invoices.ts";
import type { Control } from "./control.ts";
import { digestOf, readInputs, readPrices, type TenantInputs } from "./invoice-build.ts";
import { requireMonth } from "./named-month.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";

/** One line, or a whole invoice, that would be another today. */
export interface InvoiceDifference {
  readonly tenantId: TenantId;
  /** Undefined: the tenant should have an invoice and has none. */
  readonly invoiceId: InvoiceId | undefined;
  readonly number: bigint | undefined;
  /** What differs: a plan, a meter, `credit`, or empty for all of it. */
  readonly subject: string;
  readonly billedMicroUsd: bigint;
  readonly derivedMicroUsd: bigint;
}

export interface Verification {
  readonly month: string;
  readonly checked: number;
  /** Invoices whose inputs are others today, whether or not a cent differs. */
  readonly inputsChanged: number;
  readonly differences: readonly InvoiceDifference[];
  readonly nextPageToken: string;
}

export interface VerificationAsk {
  readonly month: string;
  readonly pageSize?: number;
  readonly pageToken?: string;
}

/** Checks a page of a month's invoices. INVALID_ARGUMENT for what is no month, or not closed. */
export async function verifyInvoices(
  control: Control,
  ask: VerificationAsk,
): Promise<Verification> {
  const month = requireMonth(ask.month);
  const limit = pageSizeOf(ask.pageSize);
  const filters = ["verification", month.name];
  const after = readPageToken(filters, ask.pageToken);
  const page = { after, limit: limit + 1 };
  const found = await listInvoicesToVerify(control.database, month.startsAt, page);
  if (found.length === 0 && after === "") await requireClosed(control, month);
  const invoices = found.slice(0, limit);
  const last = found.length > limit ? invoices.at(-1) : undefined;
  const { inputsChanged, differences } = await compare(control, month, invoices);
  return {
    month: month.name,
    checked: invoices.length,
    inputsChanged,
    differences: [
      ...differences,
      ...(last === undefined ? await missingInvoices(control, month) : []),
    ],
    nextPageToken: last === undefined ? "" : makePageToken(filters, last.tenantId),
  };
}

/** Nothing to compare would read as no difference. */
async function requireClosed(control: Control, month: CalendarMonth): Promise<void> {
  if (await isClosed(control, month)) return;
  const sentence = `${month.name} is not closed: there is no invoice of it to derive anew.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

async function isClosed({ database }: Control, { startsAt }: CalendarMonth): Promise<boolean> {
  const { closed } = await readClosing(database);
  return closed.some((each) => each.getTime() === startsAt.getTime());
}

async function compare(
  control: Control,
  month: CalendarMonth,
  invoices: readonly InvoiceToVerify[],
): Promise<Pick<Verification, "inputsChanged" | "differences">> {
  const { database } = control;
  const prices = await readPrices(database, month);
  const tenantIds = invoices.map(({ tenantId }) => tenantId);
  const credits = new Map(invoices.map((each) => [each.tenantId, each.creditLeftMicroUsd]));
  const lines = await readInvoiceLines(
    database,
    invoices.map(({ id }) => id),
  );
  const all = await readInputs(database, { month, prices, tenantIds, credits });
  const inputsOf = new Map(all.map((each) => [each.tenantId, each]));
  let inputsChanged = 0;
  const differences = invoices.flatMap((invoice) => {
    const derived = inputsOf.get(invoice.tenantId);
    if (derived === undefined) return [];
    if (digestOf(derived.inputs) !== invoice.inputsSha256) inputsChanged += 1;
    return differencesOf(invoice, lines.get(invoice.id) ?? [], derived);
  });
  return { inputsChanged, differences };
}

function differencesOf(
  invoice: InvoiceToVerify,
  lines: readonly InvoiceLine[],
  { inputs }: TenantInputs,
): readonly InvoiceDifference[] {
  const derived = contentOf(inputs);
  const of = { tenantId: invoice.tenantId, invoiceId: invoice.id, number: invoice.number };
  const settled = invoice.subtotalMicroUsd - invoice.correctedMicroUsd;
  const billed = new Map(lines.map((line) => [line.subject, line.amountMicroUsd]));
  const sum = lines.reduce((total, line) => total + line.amountMicroUsd, 0n);
  const found: InvoiceDifference[] = [];
  function expectSame(subject: string, billedMicroUsd: bigint, derivedMicroUsd: bigint): void {
    if (billedMicroUsd === derivedMicroUsd) return;
    found.push({ ...of, subject, billedMicroUsd, derivedMicroUsd });
  }

  expectSame("", invoice.subtotalMicroUsd, sum);
  const { creditMicroUsd, subtotalMicroUsd } = invoice;
  const { creditLeftMicroUsd: left } = invoice;
  expectSame("credit", creditMicroUsd, left < subtotalMicroUsd ? left : subtotalMicroUsd);
  // Lines that a credit note settled stay as they were billed.
  const isCorrected = invoice.correctedMicroUsd > 0n;
  if (isCorrected && settled === derived.subtotalMicroUsd) return found;
  const now = new Map(derived.lines.map((line) => [line.subject, line.amountMicroUsd]));
  for (const subject of new Set([...billed.keys(), ...now.keys()])) {
    expectSame(subject, billed.get(subject) ?? 0n, now.get(subject) ?? 0n);
  }
  if (isCorrected) expectSame("", settled, derived.subtotalMicroUsd);
  return found;
}

/** What can no longer be billed differs from all that was. */
function contentOf(inputs: TenantInputs["inputs"]): InvoiceContent {
  try {
    return invoiceOf(inputs);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const nothing = { subtotalMicroUsd: 0n, creditMicroUsd: 0n, totalMicroUsd: 0n };
    return { lines: [], ...nothing };
  }
}

const MOST_MISSING = 1_000;

async function missingInvoices(
  control: Control,
  month: CalendarMonth,
): Promise<readonly InvoiceDifference[]> {
  if (!(await isClosed(control, month))) return [];
  const page = { after: "", limit: MOST_MISSING };
  const missing = await listUnbilled(control.database, month, page);
  const nothing = { subject: "", billedMicroUsd: 0n, derivedMicroUsd: 0n };
  return missing.map((tenantId) => ({
    ...{ tenantId, invoiceId: undefined, number: undefined },
    ...nothing,
  }));
}
