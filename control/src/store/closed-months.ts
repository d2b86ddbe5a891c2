/** Which months are billed, and what they came to. */
import { type Db, sql } from "@aerodb/db";

/** The month with which prices begin, and the months since then of which all is billed. */
export async function readClosing(
  db: Db,
): Promise<{ readonly firstPriceAt: Date | null; readonly closed: readonly Date[] }> {
  const [row] = await db.query<{ readonly first: Date | null; readonly closed: Date[] }>(sql`
    select (select min(active_from) from plan_prices) as first,
           array(select month from closed_months order by month) as closed`);
  return { firstPriceAt: row?.first ?? null, closed: row?.closed ?? [] };
}

/** Notes that every tenant has its invoice of a month. A repeat changes nothing. */
export async function noteClosedMonth(db: Db, month: Date, name: string): Promise<void> {
  await db.query(sql`
    with noted as (
      insert into closed_months (month) values (${month}) on conflict do nothing returning month
    )
    insert into events (actor, kind, subject, after)
    select 'system', 'month.close', ${name},
           json_build_object('invoices', (select count(*) from invoices i where i.month = n.month),
                             'total_micro_usd',
                             (select coalesce(sum(total_micro_usd), 0)::text from invoices i
                               where i.month = n.month))
      from noted n`);
}

export interface MonthBilled {
  readonly month: Date;
  /** Whether every tenant has its invoice. */
  readonly closed: boolean;
  readonly invoices: number;
  readonly subtotalMicroUsd: bigint;
  readonly creditMicroUsd: bigint;
  readonly totalMicroUsd: bigint;
}

/** What the newest months came to, newest first. */
export async function listMonthsBilled(db: Db, limit: number): Promise<readonly MonthBilled[]> {
  const rows = await db.query<
    Pick<MonthBilled, "month" | "closed" | "invoices"> &
      Record<"subtotal" | "credit" | "total", string>
  >(sql`
    select month, exists (select from closed_months c where c.month = i.month) as closed,
           count(*)::integer as invoices, sum(subtotal_micro_usd)::text as subtotal,
           sum(credit_micro_usd)::text as credit, sum(total_micro_usd)::text as total
      from invoices i group by month order by month desc limit ${limit}`);
  return rows.map(({ subtotal, credit, total, ...row }) => ({
    ...row,
    subtotalMicroUsd: BigInt(subtotal),
    creditMicroUsd: BigInt(credit),
    totalMicroUsd: BigInt(total),
  }));
}

/** How many tenants are on each plan now, and what their base prices come to in a month. */
export async function listPlansBilled(
  db: Db,
): Promise<readonly { plan: string; tenants: number; basePriceMicroUsd: bigint }[]> {
  return db.query(sql`
    select p.name as plan,
           (select count(*)::integer from tenants t
             where t.plan = p.name and t.status in ('active', 'suspended')) as tenants,
           (select base_price_micro_usd from plan_prices x
             where x.plan = p.name and x.active_from <= now()
             order by active_from desc limit 1) as "basePriceMicroUsd"
      from plans p order by p.sort_order`);
}
