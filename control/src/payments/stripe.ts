/**
 * Stripe as the one who collects: an invoice there for each of ours, which it sends. What is made
 * carries our id, as idempotency key and as metadata: Stripe forgets keys after a day, so what a
 * later attempt could make a second time is looked for first.
 */
import type { InvoiceId } from "@aerodb/model";
import Stripe from "stripe";
import type { Charge, Delivery, PaymentProvider } from "../app/payment-provider.ts";

export interface StripeSettings {
  readonly key: string;
  /** Another place than Stripe's own, for tests and proxies. */
  readonly url?: string;
  /** How long one request may take. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 20_000;
const DAYS_UNTIL_DUE = 14;
const MICRO_OF_CENT = 10_000n;
const MOST_LISTED = 100;

export function stripeProvider(settings: StripeSettings): PaymentProvider {
  const stripe = new Stripe(settings.key, {
    timeout: settings.timeoutMs ?? TIMEOUT_MS,
    // The job tries again, and knows more than the library does.
    maxNetworkRetries: 0,
    telemetry: false,
    ...placeOf(settings.url),
  });
  return {
    name: "stripe",
    async makePayer({ id, name }) {
      const metadata = { aerodb_tenant: id };
      const made = await stripe.customers.create(
        { name, metadata },
        { idempotencyKey: `payer-${id}` },
      );
      return made.id;
    },
    async makeInvoice(delivery) {
      const found = await findInvoice(stripe, delivery);
      const invoice = found ?? (await createInvoice(stripe, delivery));
      if (invoice.status !== "draft") return invoice.id;
      await addCharges(stripe, delivery, invoice.id);
      const idempotencyKey = `${delivery.invoiceId}-finalize`;
      await stripe.invoices.finalizeInvoice(invoice.id, {}, { idempotencyKey });
      return invoice.id;
    },
  };
}

interface Made {
  readonly id: string;
  readonly status: string | null;
}

function placeOf(url: string | undefined) {
  if (url === undefined) return {};
  const { protocol, hostname, port } = new URL(url);
  const insecure = protocol === "http:";
  return {
    protocol: insecure ? ("http" as const) : ("https" as const),
    host: hostname,
    port: port === "" ? (insecure ? 80 : 443) : Number(port),
  };
}

async function findInvoice(
  stripe: Stripe,
  { payer, invoiceId }: Delivery,
): Promise<Made | undefined> {
  const { data } = await stripe.invoices.list({ customer: payer, limit: MOST_LISTED });
  const found = data.find(({ metadata }) => metadata?.["aerodb_invoice"] === invoiceId);
  return found === undefined ? undefined : madeOf(found);
}

async function createInvoice(stripe: Stripe, delivery: Delivery): Promise<Made> {
  const { invoiceId, number, month, payer } = delivery;
  const made = await stripe.invoices.create(
    {
      customer: payer,
      currency: "usd",
      auto_advance: false,
      collection_method: "send_invoice",
      days_until_due: DAYS_UNTIL_DUE,
      description: `Invoice ${number} of ${month}`,
      pending_invoice_items_behavior: "exclude",
      metadata: { aerodb_invoice: invoiceId },
    },
    { idempotencyKey: invoiceId },
  );
  return madeOf(made);
}

function madeOf({ id, status }: { readonly id?: string; readonly status: string | null }): Made {
  if (id === undefined) throw new Error("Stripe answered with an invoice without an id.");
  return { id, status };
}

/** Adds those that are not there yet. */
async function addCharges(stripe: Stripe, delivery: Delivery, invoice: string): Promise<void> {
  const { data } = await stripe.invoiceItems.list({ invoice, limit: MOST_LISTED });
  const there = new Set(data.map(({ metadata }) => metadata?.["aerodb_charge"]));
  for (const [index, charge] of delivery.charges.entries()) {
    const name = chargeName(delivery.invoiceId, index);
    if (there.has(name)) continue;
    await stripe.invoiceItems.create(
      {
        ...{ customer: delivery.payer, invoice, currency: "usd" },
        amount: centsOf(charge),
        description: charge.description,
        metadata: { aerodb_charge: name },
      },
      { idempotencyKey: name },
    );
  }
}

function chargeName(invoiceId: InvoiceId, index: number): string {
  return `${invoiceId}-${index + 1}`;
}

/** Stripe counts in cents, in a number. */
function centsOf({ microUsd, description }: Charge): number {
  const cents = Number(microUsd / MICRO_OF_CENT);
  if (Number.isSafeInteger(cents)) return cents;
  throw new Error(`More than Stripe can ask for: ${description}.`);
}
