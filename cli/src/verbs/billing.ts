/** `aerodb billing …`: what tenants are asked for, why, and whether it still follows. */
import { writeFileSync } from "node:fs";
import { Fault, moneyText } from "@aerodb/model";
import {
  type BilledMonth,
  type CreditNote,
  CreditNoteSchema,
  GetBillingSummaryResponseSchema,
  type Invoice,
  InvoiceSchema,
  type RunningMonth,
} from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import { type Command, Option } from "commander";
import { parseLimit } from "../limit.ts";
import { parseDollars } from "../money-argument.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";
import { LINES } from "./invoice-lines.ts";
import { addRecompute } from "./recompute.ts";

const INVOICES: readonly Column<Invoice>[] = [
  { title: "number", of: ({ number }) => String(number) },
  { title: "invoice id", of: ({ invoiceId }) => invoiceId },
  { title: "month", of: ({ month }) => month },
  { title: "subtotal", of: ({ subtotalMicroUsd }) => moneyText(subtotalMicroUsd) },
  { title: "credit", of: ({ creditMicroUsd }) => moneyText(creditMicroUsd) },
  { title: "total", of: ({ totalMicroUsd }) => moneyText(totalMicroUsd) },
  { title: "closed", of: ({ closedAt }) => timeText(closedAt) },
];

const CREDIT_NOTES: readonly Column<CreditNote>[] = [
  { title: "number", of: ({ number }) => String(number) },
  { title: "credit note id", of: ({ creditNoteId }) => creditNoteId },
  { title: "amount", of: ({ amountMicroUsd }) => moneyText(amountMicroUsd) },
  { title: "corrects", of: ({ invoiceId }) => invoiceId || "-" },
  { title: "created", of: ({ createdAt }) => timeText(createdAt) },
  { title: "reason", of: ({ reason }) => reason },
];

const MONTHS: readonly Column<BilledMonth>[] = [
  { title: "month", of: ({ month }) => month },
  { title: "closed", of: ({ closed }) => (closed ? "yes" : "no") },
  { title: "invoices", of: ({ invoices }) => String(invoices) },
  { title: "subtotal", of: ({ subtotalMicroUsd }) => moneyText(subtotalMicroUsd) },
  { title: "credit", of: ({ creditMicroUsd }) => moneyText(creditMicroUsd) },
  { title: "total", of: ({ totalMicroUsd }) => moneyText(totalMicroUsd) },
];

const MOST_A_PAGE = 1_000;
const CURRENT = "current";
const EXAMPLES = `
Examples:
  aerodb billing invoice acme                        what the running month comes to
  aerodb billing invoice acme inv_… --file acme.pdf  a closed one, as a page to send`;
const CREDIT_HELP = `
What is given back pays the tenant's next invoices. A closed invoice is corrected in this way and in
no other.

Example:
  aerodb billing credit acme 9.00 --invoice inv_… --reason "egress was counted twice"`;

export function addBilling(program: Command): void {
  const billing = program.command("billing").description("what tenants are asked for, and why");
  addInvoices(billing);
  addCredits(billing);
  billing
    .command("summary")
    .description("what all tenants together were asked for, month by month")
    .action(async (_flags: object, command: Command) => {
      const session = openSession(command);
      await showSummary(session);
    });
  addRecompute(billing);
}

function addInvoices(billing: Command): void {
  billing
    .command("invoices <tenant>")
    .description("list a tenant's closed invoices, newest first")
    .option("--limit <n>", "at most this many", parseLimit, 50)
    .action(async (tenant: string, { limit }: { readonly limit: number }, command: Command) => {
      const { api, output } = openSession(command);
      const found: Invoice[] = [];
      let pageToken = "";
      do {
        const pageSize = Math.min(limit - found.length, MOST_A_PAGE);
        const asking = api.billing.listInvoices({ tenant, pageSize, pageToken });
        const page = await showProgress("listing invoices", asking);
        found.push(...page.invoices);
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && found.length < limit);
      output.list(InvoiceSchema, found, INVOICES);
    });
  billing
    .command("invoice <tenant> [invoice]")
    .description("show an invoice by its id, or what the running month comes to")
    .option("--file <file>", "write it to this file instead, as PDF, or as CSV to a file so named")
    .addOption(new Option("--format <format>", "of the file").choices(["pdf", "csv"]))
    .addHelpText("after", EXAMPLES)
    .action(
      async (tenant: string, invoice: string = CURRENT, flags: FileFlags, command: Command) => {
        const session = openSession(command);
        const file = requireFile(flags);
        if (file === undefined) await showInvoice(session, tenant, invoice);
        else await writeInvoice(session, { tenant, invoice, format: formatOf(file, flags) }, file);
      },
    );
}

interface FileFlags {
  readonly file?: string;
  readonly format?: string;
}

/** What is shown has one form, so that a format without a file would be ignored. */
export function requireFile({ file, format }: FileFlags): string | undefined {
  if (file !== undefined || format === undefined) return file;
  throw new Fault("INVALID_ARGUMENT", "--format is of a file: name it with --file.");
}

export function formatOf(file: string, { format }: FileFlags): string {
  return format ?? (/\.csv$/i.test(file) ? "csv" : "pdf");
}

async function showInvoice(session: Session, tenant: string, invoice: string): Promise<void> {
  const { api, output } = session;
  const asking = api.billing.getInvoice({ tenant, invoice });
  const { invoice: found } = await showProgress("making up the bill", asking);
  if (found === undefined) return;
  if (output.format === "json") return output.one(InvoiceSchema, found, []);
  output.plain(found.lines, LINES);
  output.text("");
  const { closedAt, forecast, number, month, totalMicroUsd: total } = found;
  const { creditMicroUsd } = found;
  if (creditMicroUsd > 0n) output.text(`Paid by credit notes: ${moneyText(creditMicroUsd)}`);
  if (closedAt !== undefined) {
    output.text(`Invoice ${number} of ${month}: ${moneyText(total)}`);
    return;
  }
  output.text(`${month} so far, with the whole month's base price: ${moneyText(total)}`);
  if (forecast === undefined) return;
  output.text(`Expected at its end: ${moneyText(forecast.totalMicroUsd)}`);
}

async function writeInvoice(
  { api, output }: Session,
  ask: { readonly tenant: string; readonly invoice: string; readonly format: string },
  file: string,
): Promise<void> {
  const { document } = await showProgress("rendering", api.billing.renderInvoice(ask));
  const data = document?.data ?? new Uint8Array();
  writeFileSync(file, data);
  if (output.format === "json") output.json({ file, bytes: data.length });
  else output.text(`Wrote ${file}.`);
}

function addCredits(billing: Command): void {
  billing
    .command("credit <tenant>")
    .description("give a tenant something back by a credit note")
    .argument("<dollars>", "how much, as in 9.00", parseDollars)
    .requiredOption("--reason <reason>", "why; the tenant reads it")
    .option("--invoice <invoice>", "id of the invoice that is corrected", "")
    .option("--request-id <id>", "a repeat under the same id gives nothing more", "")
    .addHelpText("after", CREDIT_HELP)
    .action(async (tenant: string, dollars: bigint, flags: CreditFlags, command: Command) => {
      const { api, output } = openSession(command);
      const ask = { tenant, amountMicroUsd: dollars, ...flags };
      const answer = await showProgress("giving back", api.billing.createCreditNote(ask));
      if (answer.creditNote !== undefined) {
        output.one(CreditNoteSchema, answer.creditNote, CREDIT_NOTES);
      }
    });
  billing
    .command("credits <tenant>")
    .description("list a tenant's credit notes, newest first, and what is left of them")
    .option("--limit <n>", "at most this many", parseLimit, 50)
    .action(async (tenant: string, { limit }: { readonly limit: number }, command: Command) => {
      const { api, output } = openSession(command);
      const pageSize = Math.min(limit, MOST_A_PAGE);
      const asking = api.billing.listCreditNotes({ tenant, pageSize });
      const page = await showProgress("listing credit notes", asking);
      output.list(CreditNoteSchema, page.creditNotes, CREDIT_NOTES);
      if (output.format === "table") output.text(`\nLeft: ${moneyText(page.creditLeftMicroUsd)}`);
    });
}

interface CreditFlags {
  readonly reason: string;
  readonly invoice: string;
  readonly requestId: string;
}

async function showSummary({ api, output }: Session): Promise<void> {
  const summary = await showProgress("summing up", api.billing.getBillingSummary({}));
  if (output.format === "json") return output.one(GetBillingSummaryResponseSchema, summary, []);
  output.plain(summary.months, MONTHS);
  output.text("");
  output.plain(summary.plans, [
    { title: "plan", of: ({ plan }) => plan },
    { title: "tenants", of: ({ tenants }) => String(tenants) },
    { title: "base/month", of: (each) => moneyText(each.basePriceMicroUsd) },
  ]);
  const { running } = summary;
  if (running !== undefined) output.text(`\n${runningText(running)}`);
  output.text(`Base prices of a month: ${moneyText(summary.recurringMicroUsd)}`);
  output.text(`Credit that is not used: ${moneyText(summary.creditLeftMicroUsd)}`);
}

function runningText(running: RunningMonth): string {
  const { month, tenants, totalMicroUsd, unbillable, derivedAt } = running;
  const without = unbillable === 0 ? "" : `, ${unbillable} of them without a price`;
  const since = derivedAt === undefined ? "" : `, each derived since ${timeText(derivedAt)}`;
  return `${month} so far: ${moneyText(totalMicroUsd)} (${tenants} tenants${without}${since})`;
}
