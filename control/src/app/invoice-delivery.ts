/**
 * Hands closed invoices to whoever collects the money, each once. What was cut off or not answered
 * is tried again for as long as it takes; providers recognise an invoice by its id.
 */
import { messageOf } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import {
  type DueDelivery,
  keepPayer,
  listDueDeliveries,
  noteDelivered,
  noteFailedDelivery,
} from "../store/invoice-deliveries.ts";
import type { Control } from "./control.ts";
import { getInvoice, type Invoice, textOfLine } from "./invoices.ts";
import type { Charge, PaymentProvider } from "./payment-provider.ts";
import { cleanText } from "./text.ts";

const MOST_A_PASS = 100;
const MOST_ERROR = 500;

/** Delivers what is due, one after the other. Returns how many were delivered. */
export async function deliverInvoices(control: Control): Promise<number> {
  const { database, payments } = control;
  if (payments === undefined) return 0;
  let delivered = 0;
  for (const due of await listDueDeliveries(database, payments.name, MOST_A_PASS)) {
    try {
      const reference = await deliver(control, payments, due);
      await failpoint("control.deliveries.before_noted");
      await noteDelivered(database, due.invoiceId, reference);
      delivered += 1;
    } catch (error) {
      const because = cleanText(messageOf(error), MOST_ERROR);
      control.logger.warn({ invoiceId: due.invoiceId, because }, "an invoice was not delivered");
      await noteFailedDelivery(database, due.invoiceId, because);
    }
  }
  return delivered;
}

async function deliver(
  control: Control,
  payments: PaymentProvider,
  { invoiceId, tenantId, payer: known }: DueDelivery,
): Promise<string> {
  const invoice = await getInvoice(control, tenantId, invoiceId);
  const payer = known ?? (await makePayer(control, payments, invoice));
  await failpoint("control.deliveries.payer_kept");
  return payments.makeInvoice({
    ...{ invoiceId, payer, month: invoice.month.name },
    number: invoice.closed?.number ?? 0n,
    charges: chargesOf(invoice),
  });
}

async function makePayer(
  { database }: Control,
  payments: PaymentProvider,
  { tenantId, tenantName }: Invoice,
): Promise<string> {
  const reference = await payments.makePayer({ id: tenantId, name: tenantName });
  await failpoint("control.deliveries.payer_made");
  return keepPayer(database, { tenantId, provider: payments.name, reference });
}

/** They add up to what is to be paid. */
function chargesOf({ lines, month, creditMicroUsd }: Invoice): readonly Charge[] {
  const charges = lines.map((line) => {
    const { description, charged, unit } = textOfLine(line, month);
    const said = `${description}, ${month.name}: ${charged} ${unit}`;
    return { description: said, microUsd: line.amountMicroUsd };
  });
  const credit = { description: "Paid by credit notes", microUsd: -creditMicroUsd };
  return [...charges, credit].filter(({ microUsd }) => microUsd !== 0n);
}
