import type {
  BillingService,
  CreditNoteSchema,
  InvoiceDifferenceSchema,
  InvoiceSchema,
  RunningMonthSchema,
} from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { BillingSummary } from "../app/billing-summary.ts";
import type { Caller } from "../app/control.ts";
import type { CreditNote, CreditNoteAsk, CreditNotePage } from "../app/credit-notes.ts";
import type { InvoiceDocument } from "../app/invoice-document.ts";
import type { InvoiceDifference, Verification, VerificationAsk } from "../app/invoice-verify.ts";
import { CURRENT, type Invoice, type InvoiceAmounts, type InvoicePage } from "../app/invoices.ts";
import { callerOf } from "./caller.ts";
import { encodeLine } from "./encode-line.ts";
import { told } from "./told.ts";

interface PageOf {
  readonly tenant: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface Billing {
  invoices(ask: PageOf): Promise<InvoicePage>;
  invoice(tenant: string, invoice: string): Promise<Invoice>;
  render(ask: {
    readonly tenant: string;
    readonly invoice: string;
    readonly format: string;
  }): Promise<InvoiceDocument>;
  credit(caller: Caller, ask: CreditNoteAsk): Promise<CreditNote>;
  credits(ask: PageOf): Promise<CreditNotePage>;
  summary(): Promise<BillingSummary>;
  verify(ask: VerificationAsk): Promise<Verification>;
}

export function billingService(billing: Billing): ServiceImpl<typeof BillingService> {
  return {
    async listInvoices({ tenant, pageSize, pageToken }) {
      const page = await billing.invoices({ tenant, pageSize, pageToken });
      const { invoices, nextPageToken } = page;
      return { invoices: invoices.map(encodeInvoice), nextPageToken };
    },

    async getInvoice({ tenant, invoice }) {
      return { invoice: encodeInvoice(await billing.invoice(tenant, invoice)) };
    },

    async renderInvoice({ tenant, invoice, format }) {
      const { contentType, data } = await billing.render({ tenant, invoice, format });
      return { document: { contentType, data: Uint8Array.from(data) } };
    },

    async createCreditNote({ tenant, amountMicroUsd, reason, invoice, requestId }, context) {
      const ask = { tenant, amountMicroUsd, reason, invoice, requestId };
      return { creditNote: encodeCreditNote(await billing.credit(callerOf(context), ask)) };
    },

    async listCreditNotes({ tenant, pageSize, pageToken }) {
      const page = await billing.credits({ tenant, pageSize, pageToken });
      return { ...page, creditNotes: page.creditNotes.map(encodeCreditNote) };
    },

    async getBillingSummary() {
      const { months, plans, running, ...rest } = await billing.summary();
      return {
        ...rest,
        months: months.map(({ name: month, ...of }) => ({ month, ...of, ...toldSums(of) })),
        plans: plans.map((plan) => ({ ...plan })),
        running: encodeRunning(running),
      };
    },

    async recomputeInvoices({ month, pageSize, pageToken }) {
      const found = await billing.verify({ month, pageSize, pageToken });
      return { ...found, differences: found.differences.map(encodeDifference) };
    },
  };
}

function encodeRunning(
  running: BillingSummary["running"],
): MessageInitShape<typeof RunningMonthSchema> {
  const { name: month, derivedAt, ...sums } = running;
  const totalMicroUsd = sums.subtotalMicroUsd - sums.creditMicroUsd;
  return {
    ...{ month, ...sums, ...toldSums({ ...sums, totalMicroUsd }) },
    ...(derivedAt === undefined ? {} : { derivedAt: encodeTime(derivedAt) }),
  };
}

/** Each bill can be said, and many of them together may be more. */
function toldSums(sums: InvoiceAmounts): InvoiceAmounts {
  return {
    subtotalMicroUsd: told(sums.subtotalMicroUsd),
    creditMicroUsd: told(sums.creditMicroUsd),
    totalMicroUsd: told(sums.totalMicroUsd),
  };
}

function encodeInvoice(invoice: Invoice): MessageInitShape<typeof InvoiceSchema> {
  const { closed, forecast, lines, month, ...rest } = invoice;
  const { tenantId, tenantName, inputsSha256 } = rest;
  const { subtotalMicroUsd, creditMicroUsd, totalMicroUsd } = rest;
  return {
    ...{ tenantId, tenantName, inputsSha256, month: month.name },
    ...{ subtotalMicroUsd, creditMicroUsd, totalMicroUsd },
    invoiceId: closed?.id ?? CURRENT,
    number: closed?.number ?? 0n,
    lines: lines.map((line) => encodeLine(line, month)),
    ...(closed === undefined ? {} : { closedAt: encodeTime(closed.at) }),
    ...(forecast === undefined ? {} : { forecast: { ...forecast } }),
  };
}

function encodeCreditNote(note: CreditNote): MessageInitShape<typeof CreditNoteSchema> {
  const { id: creditNoteId, number, tenantId, invoiceId, amountMicroUsd, reason } = note;
  return {
    ...{ creditNoteId, number, tenantId, invoiceId: invoiceId ?? "", amountMicroUsd, reason },
    createdAt: encodeTime(note.createdAt),
  };
}

function encodeDifference(
  difference: InvoiceDifference,
): MessageInitShape<typeof InvoiceDifferenceSchema> {
  const { invoiceId = "", number = 0n, ...rest } = difference;
  return { ...rest, invoiceId, number };
}
