/** Credit notes: the only way to correct a closed invoice. What they give pays the next ones. */
import type { Db } from "@aerodb/db";
import { Fault, moneyText, type TenantId } from "@aerodb/model";
import { newId } from "@aerodb/runtime";
import { CENT } from "../metering/invoice.ts";
import type { CreditNote } from "../store/credit-notes.ts";
import * as store from "../store/credit-notes.ts";
import { findBilledTenant, findInvoice, type InvoiceRow } from "../store/invoices.ts";
import type { Caller, Control } from "./control.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";
import { couldBeTenant, tenantNotFound } from "./tenant-view.ts";
import { couldBeText, requireText } from "./text.ts";

export type { CreditNote };

export interface CreditNoteAsk {
  readonly tenant: string;
  /** Whole cents. */
  readonly amountMicroUsd: bigint;
  readonly reason: string;
  /** Id of the invoice that is corrected; empty: none. */
  readonly invoice: string;
  /** Idempotency key; empty when the caller gives none. */
  readonly requestId: string;
}

export interface CreditNotePage {
  readonly creditNotes: readonly CreditNote[];
  readonly creditLeftMicroUsd: bigint;
  readonly nextPageToken: string;
}

/** The tenant of this id or name; a deleted one by its id as well. TENANT_NOT_FOUND. */
export async function requireBilled(
  control: Control,
  idOrName: string,
): Promise<{ readonly id: TenantId; readonly name: string }> {
  const found = couldBeTenant(idOrName)
    ? await findBilledTenant(control.database, idOrName)
    : undefined;
  if (found === undefined) throw tenantNotFound(idOrName);
  return found;
}

/**
 * Gives something back. A repeat under the same request id returns the note that was made;
 * REQUEST_ID_REUSED for another one under it. INVOICE_NOT_FOUND, INVALID_ARGUMENT.
 */
export async function createCreditNote(
  control: Control,
  caller: Caller,
  ask: CreditNoteAsk,
): Promise<CreditNote> {
  requireText("The reason", ask.reason);
  requireText("The request id", ask.requestId);
  if (ask.amountMicroUsd <= 0n || ask.amountMicroUsd % CENT !== 0n) {
    throw new Fault("INVALID_ARGUMENT", "A credit note is of whole cents, and of more than none.");
  }
  const { id: tenantId } = await requireBilled(control, ask.tenant);
  const requestId = ask.requestId === "" ? null : ask.requestId;
  const invoice = ask.invoice === "" ? undefined : await requireInvoice(control, tenantId, ask);
  const invoiceId = invoice?.id ?? null;
  const note = {
    ...{ id: newId("crn"), tenantId, invoiceId, requestId },
    ...{ amountMicroUsd: ask.amountMicroUsd, reason: ask.reason },
    ...{ principal: caller.principal, eventRequestId: caller.requestId },
  };
  return control.database.transaction(async (db) => {
    const number = await store.takeBillNumber(db);
    const earlier = requestId === null ? undefined : await store.findCreditNote(db, requestId);
    if (earlier !== undefined) return requireSame(earlier, note);
    if (invoice !== undefined) await requireWithin(db, invoice, ask.amountMicroUsd);
    const [made] = await store.insertCreditNote(db, number, note);
    if (made === undefined) throw new Error("bug: a credit note was not inserted");
    return made;
  });
}

function requireSame(earlier: CreditNote, note: store.NewCreditNote): CreditNote {
  const same =
    earlier.tenantId === note.tenantId &&
    earlier.invoiceId === note.invoiceId &&
    earlier.amountMicroUsd === note.amountMicroUsd &&
    earlier.reason === note.reason;
  if (same) return earlier;
  const sentence = "Another credit note was made under this request id.";
  throw new Fault("REQUEST_ID_REUSED", sentence);
}

async function requireInvoice(
  control: Control,
  tenantId: TenantId,
  { invoice }: CreditNoteAsk,
): Promise<InvoiceRow> {
  const found = couldBeText(invoice)
    ? await findInvoice(control.database, tenantId, invoice)
    : undefined;
  if (found === undefined) throw invoiceNotFound(invoice);
  return found;
}

/** All that is given back of an invoice is no more than it came to, however often one asks. */
async function requireWithin(db: Db, invoice: InvoiceRow, amountMicroUsd: bigint): Promise<void> {
  const given = await store.creditedOf(db, invoice);
  if (given + amountMicroUsd <= invoice.subtotalMicroUsd) return;
  const all = invoice.subtotalMicroUsd;
  const left = moneyText(all - given);
  const sums = `${moneyText(all)}, ${moneyText(given)} of it given back before`;
  const sentence = `The invoice ${invoice.id} came to ${sums}: give back at most ${left}.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

export function invoiceNotFound(invoice: string): Fault {
  const sentence = `The tenant has no invoice ${JSON.stringify(invoice)}.`;
  return new Fault("INVOICE_NOT_FOUND", sentence);
}

/** A page of a tenant's credit notes, newest first, and what is left of all of them. */
export async function listCreditNotes(
  control: Control,
  ask: { readonly tenant: string; readonly pageSize?: number; readonly pageToken?: string },
): Promise<CreditNotePage> {
  const { id } = await requireBilled(control, ask.tenant);
  const limit = pageSizeOf(ask.pageSize);
  const filters = ["credit notes", id];
  const below = readPageToken(filters, ask.pageToken);
  const found = await store.listCreditNotes(control.database, id, {
    below: belowNumber(below),
    limit: limit + 1,
  });
  const credits = await store.readCredits(control.database, [id]);
  const creditNotes = found.slice(0, limit);
  const last = found.length > limit ? creditNotes.at(-1) : undefined;
  return {
    creditNotes,
    creditLeftMicroUsd: credits.get(id) ?? 0n,
    nextPageToken: last === undefined ? "" : makePageToken(filters, numberToken(last)),
  };
}

const NUMBER = "no_";

/** How the number that a page ended with is kept in its token. */
export function numberToken({ number }: { readonly number: bigint }): string {
  return `${NUMBER}${number}`;
}

export function belowNumber(token: string): bigint | null {
  return token === "" ? null : BigInt(token.slice(NUMBER.length));
}
