/** Whoever collects what invoices ask for, as the platform sees them. */
import type { InvoiceId, TenantId } from "@aerodb/model";

/** One amount of an invoice as a provider is told of it; below zero for what credit paid. */
export interface Charge {
  readonly description: string;
  readonly microUsd: bigint;
}

export interface Delivery {
  readonly invoiceId: InvoiceId;
  readonly number: bigint;
  /** As in `2026-01`. */
  readonly month: string;
  readonly payer: string;
  readonly charges: readonly Charge[];
}

/**
 * Whoever collects the money. Both verbs may be repeated, at any time after: they make one payer of
 * a tenant and one invoice of an id. Both throw when it is not known that they worked.
 */
export interface PaymentProvider {
  readonly name: string;
  /** Returns what the provider calls the tenant. */
  makePayer(tenant: { readonly id: TenantId; readonly name: string }): Promise<string>;
  /** Returns what the provider calls the invoice. */
  makeInvoice(delivery: Delivery): Promise<string>;
}
