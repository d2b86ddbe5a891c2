/** What is given back to tenants, and what is left of it. */
import { type Db, sql } from "@aerodb/db";
import type { CreditNoteId, InvoiceId, TenantId } from "@aerodb/model";

export interface CreditNote {
  readonly id: CreditNoteId;
  readonly number: bigint;
  readonly tenantId: TenantId;
  readonly invoiceId: InvoiceId | null;
  readonly amountMicroUsd: bigint;
  readonly reason: string;
  readonly createdAt: Date;
}

export interface NewCreditNote {
  readonly id: CreditNoteId;
  readonly tenantId: TenantId;
  readonly invoiceId: InvoiceId | null;
  readonly amountMicroUsd: bigint;
  readonly reason: string;
  readonly requestId: string | null;
  readonly principal: string;
  readonly eventRequestId: string;
}

/** Waits until no other invoice or credit note is being made; they wait until this one is. */
export async function takeBillNumber(db: Db): Promise<bigint> {
  const [next] = await db.query<{ readonly number: bigint }>(
    sql`select next_bill_number() as number`,
  );
  return next?.number ?? 1n;
}

export async function insertCreditNote(
  db: Db,
  number: bigint,
  note: NewCreditNote,
): Promise<CreditNote[]> {
  const { id, tenantId, invoiceId, amountMicroUsd, reason, requestId } = note;
  return db.query<CreditNote>(sql`
    with note as (
      insert into credit_notes (id, number, tenant_id, invoice_id, amount_micro_usd, reason,
                                request_id)
      values (${id}, ${number}, ${tenantId}, ${invoiceId}, ${amountMicroUsd}, ${reason},
              ${requestId})
      returning *
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${note.principal}, 'credit_note.create', tenant_id,
             json_build_object('credit_note_id', id, 'invoice_id', invoice_id,
                               'amount_micro_usd', amount_micro_usd::text, 'reason', reason),
             ${note.eventRequestId}
        from note
    )
    select id, number, tenant_id as "tenantId", invoice_id as "invoiceId",
           amount_micro_usd as "amountMicroUsd", reason, created_at as "createdAt"
      from note`);
}

/** The credit note that was made under an idempotency key. */
export async function findCreditNote(db: Db, requestId: string): Promise<CreditNote | undefined> {
  const [note] = await db.query<CreditNote>(sql`
    select id, number, tenant_id as "tenantId", invoice_id as "invoiceId",
           amount_micro_usd as "amountMicroUsd", reason, created_at as "createdAt"
      from credit_notes where request_id = ${requestId}`);
  return note;
}

/** What credit notes gave back of an invoice. */
export async function creditedOf(
  db: Db,
  invoice: { readonly id: InvoiceId; readonly tenantId: TenantId },
): Promise<bigint> {
  const [row] = await db.query<{ readonly sum: string }>(sql`
    select coalesce(sum(amount_micro_usd), 0)::text as sum
      from credit_notes where tenant_id = ${invoice.tenantId} and invoice_id = ${invoice.id}`);
  return BigInt(row?.sum ?? 0);
}

/** Newest first. */
export function listCreditNotes(
  db: Db,
  tenantId: TenantId,
  page: { readonly below: bigint | null; readonly limit: number },
): Promise<CreditNote[]> {
  return db.query<CreditNote>(sql`
    select id, number, tenant_id as "tenantId", invoice_id as "invoiceId",
           amount_micro_usd as "amountMicroUsd", reason, created_at as "createdAt"
      from credit_notes
     where tenant_id = ${tenantId} and (${page.below}::bigint is null or number < ${page.below})
     order by number desc limit ${page.limit}`);
}

/** What credit notes gave each tenant and no invoice has used; those with none are left out. */
export async function readCredits(
  db: Db,
  tenantIds: readonly TenantId[],
): Promise<ReadonlyMap<TenantId, bigint>> {
  const rows = await db.query<{ readonly id: TenantId; readonly left: string }>(sql`
    select c.tenant_id as id, (sum(c.amount_micro_usd) - coalesce((
             select sum(i.credit_micro_usd) from invoices i
              where i.tenant_id = c.tenant_id), 0))::text as left
      from credit_notes c where c.tenant_id = any(${tenantIds}::text[])
     group by c.tenant_id`);
  return new Map(rows.map(({ id, left }) => [id, BigInt(left)]));
}

/** The sum that no invoice has used, of all tenants. */
export async function readCreditsLeft(db: Db): Promise<bigint> {
  const [row] = await db.query<{ readonly left: string }>(sql`
    select (coalesce((select sum(amount_micro_usd) from credit_notes), 0)
            - coalesce((select sum(credit_micro_usd) from invoices), 0))::text as left`);
  return BigInt(row?.left ?? 0);
}
