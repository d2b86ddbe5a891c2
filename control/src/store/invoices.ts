/** Closed invoices: written once, read often. */
import { type Db, sql } from "@aerodb/db";
import type { InvoiceId, TenantId } from "@aerodb/model";

export interface InvoiceRow {
  readonly id: InvoiceId;
  readonly number: bigint;
  readonly tenantId: TenantId;
  readonly tenantName: string;
  readonly month: Date;
  readonly subtotalMicroUsd: bigint;
  readonly creditMicroUsd: bigint;
  readonly totalMicroUsd: bigint;
  readonly inputsSha256: string;
  readonly closedAt: Date;
}

export interface InvoiceLineRow {
  readonly kind: "plan" | "usage";
  readonly subject: string;
  readonly quantity: bigint;
  readonly allowance: bigint;
  readonly billable: bigint;
  readonly microUsd: bigint;
  readonly per: bigint;
  readonly amountMicroUsd: bigint;
}

export interface NewInvoice extends Omit<InvoiceRow, "closedAt"> {
  readonly lines: readonly InvoiceLineRow[];
}

/** Adds closed invoices with their lines: nothing changes them afterwards. */
export async function insertInvoices(db: Db, invoices: readonly NewInvoice[]): Promise<void> {
  await db.query(sql`
    insert into invoices (id, number, tenant_id, tenant_name, month, subtotal_micro_usd,
                          credit_micro_usd, total_micro_usd, inputs_sha256)
    select * from unnest(${invoices.map(({ id }) => id)}::text[],
                         ${invoices.map(({ number }) => number)}::bigint[],
                         ${invoices.map(({ tenantId }) => tenantId)}::text[],
                         ${invoices.map(({ tenantName }) => tenantName)}::text[],
                         ${invoices.map(({ month }) => month)}::timestamptz[],
                         ${invoices.map((each) => each.subtotalMicroUsd)}::bigint[],
                         ${invoices.map((each) => each.creditMicroUsd)}::bigint[],
                         ${invoices.map((each) => each.totalMicroUsd)}::bigint[],
                         ${invoices.map((each) => each.inputsSha256)}::text[])`);
  const lines = invoices.flatMap(({ id, lines: own }) =>
    own.map((line, at) => ({ ...line, invoiceId: id, line: at + 1 })),
  );
  await db.query(sql`
    insert into invoice_lines (invoice_id, line, kind, subject, quantity, allowance, billable,
                               micro_usd, per, amount_micro_usd)
    select * from unnest(${lines.map(({ invoiceId }) => invoiceId)}::text[],
                         ${lines.map(({ line }) => line)}::smallint[],
                         ${lines.map(({ kind }) => kind)}::text[],
                         ${lines.map(({ subject }) => subject)}::text[],
                         ${lines.map(({ quantity }) => quantity)}::numeric[],
                         ${lines.map(({ allowance }) => allowance)}::numeric[],
                         ${lines.map(({ billable }) => billable)}::numeric[],
                         ${lines.map(({ microUsd }) => microUsd)}::bigint[],
                         ${lines.map(({ per }) => per)}::numeric[],
                         ${lines.map((each) => each.amountMicroUsd)}::bigint[])`);
}

/** A page of a tenant's invoices, newest first: those with numbers below `below`. */
export function listInvoices(
  db: Db,
  tenantId: TenantId,
  page: { readonly below: bigint | null; readonly limit: number },
): Promise<InvoiceRow[]> {
  return db.query<InvoiceRow>(sql`
    select id, number, tenant_id as "tenantId", tenant_name as "tenantName", month,
           subtotal_micro_usd as "subtotalMicroUsd", credit_micro_usd as "creditMicroUsd",
           total_micro_usd as "totalMicroUsd", inputs_sha256 as "inputsSha256",
           closed_at as "closedAt"
      from invoices
     where tenant_id = ${tenantId} and (${page.below}::bigint is null or number < ${page.below})
     order by number desc limit ${page.limit}`);
}

/** The invoice of a tenant by its id; undefined when the tenant has no such invoice. */
export async function findInvoice(
  db: Db,
  tenantId: TenantId,
  id: string,
): Promise<InvoiceRow | undefined> {
  const [found] = await db.query<InvoiceRow>(sql`
    select id, number, tenant_id as "tenantId", tenant_name as "tenantName", month,
           subtotal_micro_usd as "subtotalMicroUsd", credit_micro_usd as "creditMicroUsd",
           total_micro_usd as "totalMicroUsd", inputs_sha256 as "inputsSha256",
           closed_at as "closedAt"
      from invoices where id = ${id} and tenant_id = ${tenantId}`);
  return found;
}

/** The lines of invoices, in their order. */
export async function readInvoiceLines(
  db: Db,
  ids: readonly InvoiceId[],
): Promise<ReadonlyMap<InvoiceId, readonly InvoiceLineRow[]>> {
  const rows = await db.query<Record<keyof InvoiceLineRow | "invoiceId", string>>(sql`
    select invoice_id as "invoiceId", kind, subject, quantity::text, allowance::text,
           billable::text, micro_usd::text as "microUsd", per::text,
           amount_micro_usd::text as "amountMicroUsd"
      from invoice_lines where invoice_id = any(${ids}::text[]) order by invoice_id, line`);
  const found = new Map<InvoiceId, InvoiceLineRow[]>(ids.map((id) => [id, []]));
  for (const { invoiceId, kind, subject, ...numbers } of rows) {
    found.get(invoiceId as InvoiceId)?.push({
      kind: kind as InvoiceLineRow["kind"],
      subject,
      quantity: BigInt(numbers.quantity),
      allowance: BigInt(numbers.allowance),
      billable: BigInt(numbers.billable),
      microUsd: BigInt(numbers.microUsd),
      per: BigInt(numbers.per),
      amountMicroUsd: BigInt(numbers.amountMicroUsd),
    });
  }
  return found;
}

/** An invoice with what decided about it besides usage, plans and prices. */
export interface InvoiceToVerify extends InvoiceRow {
  /** What credit notes before it had left for it. */
  readonly creditLeftMicroUsd: bigint;
  /** What credit notes since then took back of it. */
  readonly correctedMicroUsd: bigint;
}

/** A page of the invoices of a month, in order of their tenants' ids. */
export async function listInvoicesToVerify(
  db: Db,
  month: Date,
  page: { readonly after: string; readonly limit: number },
): Promise<readonly InvoiceToVerify[]> {
  const rows = await db.query<
    InvoiceRow & { readonly creditLeft: string; readonly corrected: string }
  >(sql`
    select i.id, number, tenant_id as "tenantId", tenant_name as "tenantName", month,
           subtotal_micro_usd as "subtotalMicroUsd", credit_micro_usd as "creditMicroUsd",
           total_micro_usd as "totalMicroUsd", inputs_sha256 as "inputsSha256",
           closed_at as "closedAt",
           (coalesce((select sum(c.amount_micro_usd) from credit_notes c
                       where c.tenant_id = i.tenant_id and c.number < i.number), 0)
            - coalesce((select sum(e.credit_micro_usd) from invoices e
                         where e.tenant_id = i.tenant_id and e.number < i.number), 0)
           )::text as "creditLeft",
           coalesce((select sum(c.amount_micro_usd) from credit_notes c
                      where c.tenant_id = i.tenant_id and c.invoice_id = i.id), 0)::text
             as corrected
      from invoices i
     where month = ${month} and tenant_id > ${page.after}
     order by tenant_id limit ${page.limit}`);
  return rows.map(({ creditLeft, corrected, ...row }) => ({
    ...row,
    creditLeftMicroUsd: BigInt(creditLeft),
    correctedMicroUsd: BigInt(corrected),
  }));
}

/** Whom bills can be asked about: deleted tenants by their id as well. */
export async function findBilledTenant(
  db: Db,
  idOrName: string,
): Promise<{ readonly id: TenantId; readonly name: string } | undefined> {
  const [tenant] = await db.query<{ readonly id: TenantId; readonly name: string }>(sql`
    select id, name from tenants
     where (id = ${idOrName} or name = ${idOrName}) and deleted_at is null
    union all
    (select tenant_id, tenant_name from tenant_terms
      where tenant_id = ${idOrName} order by from_at desc limit 1)
     limit 1`);
  return tenant;
}
