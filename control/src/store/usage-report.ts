import { type Db, sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";

/** Since when a tenant has served, and until when; undefined when it never has. */
export async function readServedSpan(
  db: Db,
  tenantId: TenantId,
): Promise<{ readonly from: Date; readonly to: Date | null } | undefined> {
  const [span] = await db.query<{ from: Date | null; to: Date | null }>(sql`
    select min(from_at) as "from",
           (select case when plan is null then from_at end from tenant_terms
             where tenant_id = ${tenantId} order by from_at desc limit 1) as "to"
      from tenant_terms where tenant_id = ${tenantId}`);
  return span?.from ? { from: span.from, to: span.to } : undefined;
}

/** What one meter counted on one day of UTC. */
export interface DayAmount {
  readonly meter: string;
  readonly date: string;
  readonly amount: bigint;
}

/** By day, what each meter of a tenant counted; of those in `highest` the highest hour. */
export async function readDayAmounts(
  db: Db,
  ask: {
    readonly tenantId: TenantId;
    readonly from: Date;
    readonly to: Date;
    readonly highest: readonly string[];
  },
): Promise<DayAmount[]> {
  const rows = await db.query<{ meter: string; date: string; amount: string }>(sql`
    select meter, to_char(hour at time zone 'UTC', 'YYYY-MM-DD') as date,
           (case when meter = any(${ask.highest}::text[]) then max(amount)
                 else sum(amount) end)::text as amount
      from usage_records
     where tenant_id = ${ask.tenantId} and hour >= ${ask.from} and hour < ${ask.to} and amount > 0
     group by meter, date order by meter, date`);
  return rows.map(({ meter, date, amount }) => ({ meter, date, amount: BigInt(amount) }));
}

/** What each gauge of a tenant was when it was last read. */
export function readGauges(
  db: Db,
  tenantId: TenantId,
): Promise<{ readonly meter: string; readonly value: bigint }[]> {
  return db.query(sql`select meter, value from usage_gauges where tenant_id = ${tenantId}`);
}
