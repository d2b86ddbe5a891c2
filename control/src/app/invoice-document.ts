/** Invoices as files: CSV for programs that calculate, PDF for people. */
import { Fault } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { decimalText, lineText } from "../metering/invoice-text.ts";
import type { Control } from "./control.ts";
import { getInvoice, type Invoice } from "./invoices.ts";

/** A file as it is handed out. */
export interface InvoiceDocument {
  readonly contentType: string;
  readonly data: Uint8Array;
}

const FORMATS = ["pdf", "csv"];

/** TENANT_NOT_FOUND, INVOICE_NOT_FOUND, and INVALID_ARGUMENT for a format that there is not. */
export async function renderInvoice(
  control: Control,
  ask: { readonly tenant: string; readonly invoice: string; readonly format: string },
): Promise<InvoiceDocument> {
  if (!FORMATS.includes(ask.format)) {
    const given = JSON.stringify(ask.format);
    const sentence = `There is no format ${given}: use one of ${FORMATS.join(", ")}.`;
    throw new Fault("INVALID_ARGUMENT", sentence);
  }
  const invoice = await getInvoice(control, ask.tenant, ask.invoice);
  if (ask.format === "csv") {
    const data = new TextEncoder().encode(renderCsv(invoice));
    return { contentType: "text/csv; charset=utf-8", data };
  }
  const { invoiceIssuer, baseDomain } = control.settings;
  // Fonts and what packs them are a fifth of what control would load at its start.
  const { renderPdf } = await import("./invoice-pdf.ts");
  const data = await renderPdf(invoice, { issuer: invoiceIssuer ?? baseDomain, at: now() });
  return { contentType: "application/pdf", data };
}

const HEADINGS = [
  ...["invoice_id", "number", "tenant_id", "tenant_name", "month", "kind", "subject"],
  ...["quantity", "included", "charged", "unit", "rate", "amount_usd"],
];

/** A row for each line and one for what credit paid, which is below zero: they add up. RFC 4180. */
export function renderCsv(invoice: Invoice): string {
  const { month, closed, tenantId, tenantName, creditMicroUsd } = invoice;
  const head = [closed?.id ?? "", closed?.number ?? "", tenantId, tenantName, month.name];
  const rows = invoice.lines.map((line) => {
    const { quantity, included, charged, unit, rate } = lineText(line, month);
    const said = [line.kind, line.subject, quantity, included, charged, unit, rate];
    return [...head, ...said, dollars(line.amountMicroUsd)];
  });
  const credit = [...head, "credit", "", "", "", "", "", "", `-${dollars(creditMicroUsd)}`];
  return [HEADINGS, ...rows, ...(creditMicroUsd === 0n ? [] : [credit])].map(csvRow).join("");
}

function dollars(microUsd: bigint): string {
  return decimalText(microUsd, 1_000_000n, 2);
}

function csvRow(cells: readonly (string | bigint)[]): string {
  const quoted = cells.map(String).map((cell) => {
    return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  });
  return `${quoted.join(",")}\r\n`;
}
