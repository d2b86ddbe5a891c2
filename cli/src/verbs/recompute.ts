/** `aerodb billing recompute`: derives closed invoices anew and compares them to the cent. */
import { moneyText } from "@aerodb/model";
import {
  type InvoiceDifference,
  InvoiceDifferenceSchema,
} from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import { EXIT } from "@aerodb/runtime";
import { type Command, InvalidArgumentError } from "commander";
import { asJson, type Column } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";

const DIFFERENCES: readonly Column<InvoiceDifference>[] = [
  { title: "invoice", of: ({ invoiceId }) => invoiceId || "none" },
  { title: "tenant id", of: ({ tenantId }) => tenantId },
  { title: "what", of: ({ subject, invoiceId }) => subject || (invoiceId ? "sum" : "missing") },
  { title: "billed", of: ({ billedMicroUsd }) => moneyText(billedMicroUsd) },
  { title: "follows now", of: ({ derivedMicroUsd }) => moneyText(derivedMicroUsd) },
];

const PAGE_SIZE = 500;
const HELP = `
Nothing is changed. Usage that came after a month was closed shows as a difference: an invoice that
asked for too much is settled by a credit note that names it (aerodb billing credit --invoice).

With --verify the exit code is 0 when every invoice follows to the cent, and 1 when one does not.

Example:
  aerodb billing recompute --month 2026-01 --verify`;

interface RecomputeFlags {
  readonly month?: string;
  readonly verify?: boolean;
}

export function addRecompute(billing: Command): void {
  billing
    .command("recompute")
    .description("derive closed invoices anew from the ledger, and compare")
    .option("--month <month>", "as in 2026-01 (default: the last 24 that have any)", parseMonthName)
    .option("--verify", "fail when a cent differs")
    .addHelpText("after", HELP)
    .action(async ({ month, verify }: RecomputeFlags, command: Command) => {
      const session = openSession(command);
      const months = month === undefined ? await billedMonths(session) : [month];
      const same = await recompute(session, months);
      if (verify === true && !same) process.exitCode = EXIT.failed;
    });
}

function parseMonthName(text: string): string {
  if (/^[12]\d{3}-(0[1-9]|1[0-2])$/.test(text)) return text;
  throw new InvalidArgumentError("Write a month as in 2026-01.");
}

async function billedMonths({ api }: Session): Promise<readonly string[]> {
  const { months } = await api.billing.getBillingSummary({});
  return months.map(({ month }) => month);
}

/** Whether every invoice of the months follows to the cent. */
export async function recompute(
  { api, output }: Pick<Session, "api" | "output">,
  months: readonly string[],
): Promise<boolean> {
  const differences: InvoiceDifference[] = [];
  let [checked, inputsChanged] = [0, 0];
  for (const month of months) {
    let pageToken = "";
    do {
      const asking = api.billing.recomputeInvoices({ month, pageSize: PAGE_SIZE, pageToken });
      const page = await showProgress(`deriving ${month}`, asking);
      checked += page.checked;
      inputsChanged += page.inputsChanged;
      differences.push(...page.differences);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }
  if (output.format === "json") {
    const found = differences.map((each) => asJson(InvoiceDifferenceSchema, each));
    output.json({ months, checked, inputs_changed: inputsChanged, differences: found });
    return differences.length === 0;
  }
  if (differences.length > 0) output.plain(differences, DIFFERENCES);
  const changed = `${inputsChanged} with other inputs than when they were closed`;
  output.text(`Derived ${checked} invoices, ${changed}. Differences: ${differences.length}.`);
  return differences.length === 0;
}
