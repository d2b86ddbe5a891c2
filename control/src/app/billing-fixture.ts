/** Tenants, prices and usage of months gone by, for tests of what is billed. */
import { type Database, sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";

/** Prices as they are seeded are in force since this month. */
export async function priceSince(database: Database, month: string): Promise<void> {
  await database.query(sql`
    insert into rates (meter, active_from, micro_usd, per_units)
    select meter, ${month}::timestamptz, micro_usd, per_units from rates on conflict do nothing`);
  await database.query(sql`
    with price as (
      insert into plan_prices (plan, active_from, base_price_micro_usd)
      select plan, ${month}::timestamptz, base_price_micro_usd from plan_prices
      on conflict do nothing returning plan, active_from
    )
    insert into plan_allowances (plan, active_from, meter, units)
    select price.plan, price.active_from, a.meter, a.units
      from price join plan_allowances a on a.plan = price.plan`);
}

/** A tenant that was on these plans from these times; null: it ended. */
export async function addTerms(
  database: Database,
  tenantId: string,
  terms: readonly (readonly [at: string, plan: string | null])[],
): Promise<void> {
  await database.query(sql`
    insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
    select ${tenantId}, t.at, t.plan, 'name-' || right(${tenantId}, 6), 'schema'
      from unnest(${terms.map(([at]) => at)}::timestamptz[],
                  ${terms.map(([, plan]) => plan)}::text[]) as t (at, plan)`);
}

export async function addUsage(
  database: Database,
  usage: {
    readonly tenantId: string;
    readonly meter: string;
    readonly hour: string;
    readonly amount: bigint;
  },
): Promise<void> {
  const { tenantId, meter, hour, amount } = usage;
  await database.query(sql`
    select make_usage_months(${hour}::timestamptz, ${hour}::timestamptz)`);
  await database.query(sql`
    insert into usage_records (tenant_id, meter, hour, amount)
    values (${tenantId}, ${meter}, ${hour}, ${amount}::numeric)
    on conflict (tenant_id, meter, hour) do update
      set amount = usage_records.amount + excluded.amount`);
}

/** Ids of so many tenants that never were, in order. */
export function someTenants(count: number): readonly TenantId[] {
  return Array.from({ length: count }, (_, at) => {
    return `ten_01jc7w4x9dep8t3w8r${String(at).padStart(8, "0")}` as TenantId;
  });
}

/**
 * Usage of every tenant that has terms, in every hour of the months: of the four billed meters,
 * another amount for each tenant and hour.
 */
export async function generateUsage(
  database: Database,
  span: { readonly from: string; readonly until: string },
): Promise<void> {
  await database.query(sql`
    select make_usage_months(${span.from}::timestamptz,
                             ${span.until}::timestamptz - interval '1 day')`);
  await database.query(sql`
    insert into usage_records (tenant_id, meter, hour, amount)
    select t.tenant_id, m.meter, h.hour,
           m.base * (1 + abs(hashtext(t.tenant_id || m.meter)) % 50)
           + abs(hashtext(t.tenant_id || h.hour::text)) % 1000
      from (select distinct tenant_id from tenant_terms) t
     cross join (values ('api_requests', 60), ('egress_bytes', 8000000),
                        ('storage_bytes', 30000000000000000),
                        ('file_bytes', 20000000000000000)) as m (meter, base)
     cross join generate_series(${span.from}::timestamptz,
                                ${span.until}::timestamptz - interval '1 hour',
                                interval '1 hour') as h (hour)
     order by t.tenant_id, m.meter, h.hour`);
}
