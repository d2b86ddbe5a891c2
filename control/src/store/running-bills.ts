/** What the running month came to for each tenant when it was last derived. */
import { type Db, sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";

interface Span {
  readonly startsAt: Date;
  readonly endsAt: Date;
}

/** Undefined amounts: it cannot be billed. In millionths of a dollar. */
export interface RunningBill {
  readonly tenantId: TenantId;
  readonly subtotalMicroUsd: bigint | undefined;
  readonly creditMicroUsd: bigint | undefined;
}

/**
 * Whose bill of a month is to be derived: who has a spend cap, and of the others who has none yet
 * or one of before `olderThan`; those that have waited longest first.
 */
export async function listBillsToDerive(
  db: Db,
  { startsAt, endsAt }: Span,
  most: { readonly capped: number; readonly others: number; readonly olderThan: Date },
): Promise<readonly TenantId[]> {
  const rows = await db.query<{ readonly id: TenantId }>(sql`
    with at_start as (
      select distinct on (tenant_id) tenant_id, plan from tenant_terms
       where from_at <= ${startsAt} order by tenant_id, from_at desc
    ), billable as (
      select tenant_id from at_start where plan is not null
      union
      select tenant_id from tenant_terms
       where from_at > ${startsAt} and from_at < ${endsAt} and plan is not null
    ), waiting as (
      select b.tenant_id as id, r.derived_at, exists (
               select from quota_overrides o
                where o.tenant_id = b.tenant_id and o.resource = 'spend_micro_usd_per_month'
                  and o.quota is not null) as capped
        from billable b
        left join running_bills r on r.tenant_id = b.tenant_id and r.month = ${startsAt}
    )
    (select id from waiting where capped
      order by derived_at nulls first, id limit ${most.capped})
    union all
    (select id from waiting
      where not capped and (derived_at is null or derived_at < ${most.olderThan})
      order by derived_at nulls first, id limit ${most.others})`);
  return rows.map(({ id }) => id);
}

/** Writes down what was derived in the place of what was before. */
export async function writeRunningBills(
  db: Db,
  month: Date,
  bills: readonly RunningBill[],
): Promise<void> {
  await db.query(sql`
    insert into running_bills (tenant_id, month, subtotal_micro_usd, credit_micro_usd)
    select b.*
      from (select unnest(${bills.map(({ tenantId }) => tenantId)}::text[]), ${month}::timestamptz,
                   unnest(${bills.map((bill) => bill.subtotalMicroUsd ?? null)}::bigint[]),
                   unnest(${bills.map((bill) => bill.creditMicroUsd ?? null)}::bigint[])) b
    on conflict (tenant_id) do update
      set (month, subtotal_micro_usd, credit_micro_usd, derived_at)
        = (excluded.month, excluded.subtotal_micro_usd, excluded.credit_micro_usd, now())
      where running_bills.month <= excluded.month`);
}

/** Drops what earlier months came to: they have invoices. */
export async function dropEarlierBills(db: Db, month: Date): Promise<void> {
  await db.query(sql`delete from running_bills where month < ${month}`);
}

/** What all tenants together come to in the running month. */
export interface RunningMonth {
  readonly tenants: number;
  /** Of them those whose plan has no price. */
  readonly unbillable: number;
  readonly subtotalMicroUsd: bigint;
  readonly creditMicroUsd: bigint;
  /** When the oldest of the bills was derived; undefined: there are none. */
  readonly derivedAt: Date | undefined;
}

export async function readRunningMonth(db: Db, month: Date): Promise<RunningMonth> {
  const [row] = await db.query<{
    tenants: number;
    unbillable: number;
    subtotal: string;
    credit: string;
    derivedAt: Date | null;
  }>(sql`
    select count(*)::integer as tenants,
           (count(*) filter (where subtotal_micro_usd is null))::integer as unbillable,
           coalesce(sum(subtotal_micro_usd), 0)::text as subtotal,
           coalesce(sum(credit_micro_usd), 0)::text as credit, min(derived_at) as "derivedAt"
      from running_bills where month = ${month}`);
  return {
    tenants: row?.tenants ?? 0,
    unbillable: row?.unbillable ?? 0,
    subtotalMicroUsd: BigInt(row?.subtotal ?? 0),
    creditMicroUsd: BigInt(row?.credit ?? 0),
    derivedAt: row?.derivedAt ?? undefined,
  };
}
