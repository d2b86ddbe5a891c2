/** What invoices follow from, as the catalogue has it: who was on a plan, and what was used. */
import { type Db, sql } from "@aerodb/db";
import type { Meter, TenantId } from "@aerodb/model";

interface Span {
  readonly startsAt: Date;
  readonly endsAt: Date;
}

/**
 * Tenants that were on a plan for some of a month and have no invoice of it, in order of their ids.
 * `after` is the last that was seen before, empty at first.
 */
export async function listUnbilled(
  db: Db,
  { startsAt, endsAt }: Span,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<readonly TenantId[]> {
  const rows = await db.query<{ readonly id: TenantId }>(sql`
    with at_start as (
      select distinct on (tenant_id) tenant_id, plan from tenant_terms
       where from_at <= ${startsAt} and tenant_id > ${after}
       order by tenant_id, from_at desc
    ), billable as (
      select tenant_id from at_start where plan is not null
      union
      select tenant_id from tenant_terms
       where from_at > ${startsAt} and from_at < ${endsAt} and plan is not null
         and tenant_id > ${after}
    )
    select tenant_id as id from billable b
     where not exists (select from invoices i where i.tenant_id = b.tenant_id
                        and i.month = ${startsAt})
     order by tenant_id limit ${limit}`);
  return rows.map(({ id }) => id);
}

/** Of these, the tenants that have no invoice of the month. */
export async function stillUnbilled(
  db: Db,
  month: Date,
  tenantIds: readonly TenantId[],
): Promise<readonly TenantId[]> {
  const rows = await db.query<{ readonly id: TenantId }>(sql`
    select t.id from unnest(${tenantIds}::text[]) as t (id)
     where not exists (select from invoices i where i.tenant_id = t.id and i.month = ${month})
     order by t.id`);
  return rows.map(({ id }) => id);
}

export interface TenantTerm {
  readonly tenantId: TenantId;
  readonly fromAt: Date;
  readonly plan: string | null;
  readonly tenantName: string;
}

/** The terms that hold for some of the time, in order; of those before it the last. */
export function readTerms(
  db: Db,
  { startsAt, endsAt }: Span,
  tenantIds: readonly TenantId[],
): Promise<TenantTerm[]> {
  return db.query<TenantTerm>(sql`
    select t.tenant_id as "tenantId", t.from_at as "fromAt", t.plan, t.tenant_name as "tenantName"
      from unnest(${tenantIds}::text[]) as asked (id)
     cross join lateral (
       select max(from_at) as at from tenant_terms e
        where e.tenant_id = asked.id and e.from_at <= ${startsAt}) first
      join tenant_terms t
        on t.tenant_id = asked.id and t.from_at < ${endsAt}
       and t.from_at >= coalesce(first.at, ${startsAt})
     order by t.tenant_id, t.from_at`);
}

export interface TenantUsage {
  readonly tenantId: TenantId;
  readonly meter: Meter;
  readonly amount: bigint;
}

/** Sums of the hourly records of some meters. */
export async function readUsage(
  db: Db,
  { startsAt, endsAt }: Span,
  asked: { readonly tenantIds: readonly TenantId[]; readonly meters: readonly Meter[] },
): Promise<readonly TenantUsage[]> {
  const rows = await db.query<Omit<TenantUsage, "amount"> & { readonly amount: string }>(sql`
    select tenant_id as "tenantId", meter, sum(amount)::text as amount
      from usage_records
     where hour >= ${startsAt} and hour < ${endsAt}
       and tenant_id = any(${asked.tenantIds}::text[]) and meter = any(${asked.meters}::text[])
     group by tenant_id, meter`);
  return rows.map((row) => ({ ...row, amount: BigInt(row.amount) }));
}

/** Whether not all records of the time before follow from events and gauges yet. */
export async function isRollUpBehind(db: Db, endsAt: Date): Promise<boolean> {
  const [found] = await db.query<{ readonly behind: boolean }>(sql`
    select exists (select from usage_batches where first_ended_at < ${endsAt})
        or exists (select from usage_gauges where rolled_up_to < ${endsAt}) as behind`);
  return found?.behind ?? false;
}
