/** Invoices made from what the catalogue says: those to close, those to show, those to check. */
import { createHash } from "node:crypto";
import type { Db } from "@aerodb/db";
import type { CalendarMonth, TenantId } from "@aerodb/model";
import { type InvoiceInputs, inputsText } from "../metering/invoice.ts";
import { type PriceList, pricesIn } from "../metering/prices.ts";
import {
  readTerms,
  readUsage,
  type TenantTerm,
  type TenantUsage,
} from "../store/invoice-inputs.ts";
import { listPlanPrices, listRates } from "../store/prices.ts";

/** What the invoice of one tenant follows from. */
export interface TenantInputs {
  readonly tenantId: TenantId;
  /** As it was called at the end of the month; empty when it was never served. */
  readonly tenantName: string;
  readonly inputs: InvoiceInputs;
}

/** What is asked in a month. */
export async function readPrices(db: Db, month: CalendarMonth): Promise<PriceList> {
  const [rates, plans] = await Promise.all([listRates(db), listPlanPrices(db)]);
  return pricesIn(month, { rates, plans });
}

/** The inputs of some tenants' invoices, in the order that was asked for. */
export async function readInputs(
  db: Db,
  asked: {
    readonly month: CalendarMonth;
    readonly prices: PriceList;
    readonly tenantIds: readonly TenantId[];
    readonly credits: ReadonlyMap<TenantId, bigint>;
  },
): Promise<readonly TenantInputs[]> {
  const { month, prices, tenantIds, credits } = asked;
  const meters = prices.rates.map(({ meter }) => meter);
  const terms = byTenant<TenantTerm>(await readTerms(db, month, tenantIds));
  const usage = byTenant<TenantUsage>(await readUsage(db, month, { tenantIds, meters }));
  return tenantIds.map((tenantId) => {
    const own = terms.get(tenantId) ?? [];
    const used = (usage.get(tenantId) ?? []).map(({ meter, amount }) => [meter, amount]);
    return {
      tenantId,
      tenantName: own.at(-1)?.tenantName ?? "",
      inputs: {
        ...{ month, prices },
        terms: own.map(({ fromAt, plan }) => ({ fromAt, plan })),
        usage: Object.fromEntries(used),
        creditMicroUsd: credits.get(tenantId) ?? 0n,
      },
    };
  });
}

/** Tells whether an invoice still follows from the same. */
export function digestOf(inputs: InvoiceInputs): string {
  return createHash("sha256").update(inputsText(inputs)).digest("hex");
}

function byTenant<Row extends { readonly tenantId: TenantId }>(
  rows: readonly Row[],
): ReadonlyMap<TenantId, readonly Row[]> {
  return Map.groupBy(rows, ({ tenantId }) => tenantId);
}
