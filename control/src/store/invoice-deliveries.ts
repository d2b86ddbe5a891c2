/** Invoices on their way to whoever collects the money. */
import { type Db, sql } from "@aerodb/db";
import type { InvoiceId, TenantId } from "@aerodb/model";

/** Has these invoices delivered; those of nothing need not be. */
export async function insertDeliveries(
  db: Db,
  provider: string,
  invoiceIds: readonly InvoiceId[],
): Promise<void> {
  await db.query(sql`
    insert into invoice_deliveries (invoice_id, provider)
    select id, ${provider} from unnest(${invoiceIds}::text[]) as i (id)`);
}

export interface DueDelivery {
  readonly invoiceId: InvoiceId;
  readonly tenantId: TenantId;
  /** What the provider calls the tenant; null before it was told of it. */
  readonly payer: string | null;
}

/** Deliveries that are due, those that have waited longest first. */
export function listDueDeliveries(db: Db, provider: string, limit: number): Promise<DueDelivery[]> {
  return db.query<DueDelivery>(sql`
    select d.invoice_id as "invoiceId", i.tenant_id as "tenantId", p.reference as payer
      from invoice_deliveries d
      join invoices i on i.id = d.invoice_id
      left join payers p on p.tenant_id = i.tenant_id and p.provider = d.provider
     where d.delivered_at is null and d.due_at <= now() and d.provider = ${provider}
     order by d.due_at, i.number limit ${limit}`);
}

/** Keeps what a provider calls a tenant, and returns what is kept: the first. */
export async function keepPayer(
  db: Db,
  payer: { readonly tenantId: TenantId; readonly provider: string; readonly reference: string },
): Promise<string> {
  const { tenantId, provider, reference } = payer;
  const [kept] = await db.query<{ readonly reference: string }>(sql`
    insert into payers (tenant_id, provider, reference)
    values (${tenantId}, ${provider}, ${reference})
    on conflict (tenant_id, provider) do update set reference = payers.reference
    returning reference`);
  return kept?.reference ?? reference;
}

/** Notes that a provider has an invoice. A repeat changes nothing. */
export async function noteDelivered(
  db: Db,
  invoiceId: InvoiceId,
  reference: string,
): Promise<void> {
  await db.query(sql`
    with delivered as (
      update invoice_deliveries set reference = ${reference}, delivered_at = now()
       where invoice_id = ${invoiceId} and delivered_at is null
      returning provider, failures
    )
    insert into events (actor, kind, subject, after)
    select 'system', 'invoice.deliver', ${invoiceId},
           json_build_object('provider', provider, 'reference', ${reference}::text)
      from delivered`);
}

/** Notes that a delivery failed: it is due again after a while that doubles, six hours at most. */
export async function noteFailedDelivery(
  db: Db,
  invoiceId: InvoiceId,
  because: string,
): Promise<void> {
  await db.query(sql`
    update invoice_deliveries
       set failures = failures + 1, last_error = ${because},
           due_at = now() + least(interval '1 minute' * power(2, least(failures, 10)),
                                  interval '6 hours')
     where invoice_id = ${invoiceId} and delivered_at is null`);
}
