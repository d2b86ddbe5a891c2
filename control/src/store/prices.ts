/** Prices by the month from which on; nothing here changes one that is written. */
import { type Db, sql, violates } from "@aerodb/db";
import type { Meter } from "@aerodb/model";

export interface DatedRate {
  readonly meter: Meter;
  readonly activeFrom: Date;
  readonly microUsd: bigint;
  readonly perUnits: bigint;
}

export interface DatedPlanPrice {
  readonly plan: string;
  readonly activeFrom: Date;
  readonly basePriceMicroUsd: bigint;
  readonly allowances: Readonly<Partial<Record<Meter, bigint>>>;
}

interface Change {
  readonly principal: string;
  readonly eventRequestId: string;
}

/** Every rate there was, is and will be: by meter, newest first. */
export function listRates(db: Db): Promise<DatedRate[]> {
  return db.query<DatedRate>(sql`
    select meter, active_from as "activeFrom", micro_usd as "microUsd", per_units as "perUnits"
      from rates order by meter, active_from desc`);
}

/** Every price of a plan there was, is and will be: smallest plan first, newest first. */
export async function listPlanPrices(db: Db): Promise<DatedPlanPrice[]> {
  const rows = await db.query<
    Omit<DatedPlanPrice, "allowances"> & { meters: Meter[]; units: string[] }
  >(sql`
    select p.plan, p.active_from as "activeFrom", p.base_price_micro_usd as "basePriceMicroUsd",
           coalesce(array_agg(a.meter order by a.meter) filter (where a.meter is not null), '{}')
             as meters,
           coalesce(array_agg(a.units::text order by a.meter) filter (where a.meter is not null),
                    '{}') as units
      from plan_prices p
      join plans on plans.name = p.plan
      left join plan_allowances a using (plan, active_from)
     group by p.plan, p.active_from, plans.sort_order
     order by plans.sort_order, p.active_from desc`);
  return rows.map(({ meters, units, ...price }) => ({
    ...price,
    allowances: Object.fromEntries(meters.map((meter, at) => [meter, BigInt(units[at] ?? 0)])),
  }));
}

/** False when the meter has a rate from that month on. */
export async function insertRate(db: Db, rate: DatedRate & Change): Promise<boolean> {
  const { meter, activeFrom, microUsd, perUnits, principal, eventRequestId } = rate;
  const inserted = await db.query(sql`
    with rate as (
      insert into rates (meter, active_from, micro_usd, per_units)
      values (${meter}, ${activeFrom}, ${microUsd}, ${perUnits})
      on conflict do nothing
      returning *
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${principal}, 'rate.create', meter,
             json_build_object('active_from', active_from, 'micro_usd', micro_usd::text,
                               'per_units', per_units::text),
             ${eventRequestId}
        from rate
    )
    select meter from rate`);
  return inserted.length === 1;
}

/** False when the plan has a price from that month on. */
export async function insertPlanPrice(db: Db, price: DatedPlanPrice & Change): Promise<boolean> {
  const { plan, activeFrom, basePriceMicroUsd, principal, eventRequestId } = price;
  const allowances = Object.entries(price.allowances);
  try {
    await db.query(sql`
      with price as (
        insert into plan_prices (plan, active_from, base_price_micro_usd)
        values (${plan}, ${activeFrom}, ${basePriceMicroUsd})
        returning *
      ), allowances as (
        insert into plan_allowances (plan, active_from, meter, units)
        select price.plan, price.active_from, a.meter, a.units
          from price, unnest(${allowances.map(([meter]) => meter)}::text[],
                             ${allowances.map(([, units]) => units)}::bigint[]) as a (meter, units)
        returning meter, units
      )
      insert into events (actor, kind, subject, after, request_id)
      select ${principal}, 'plan_price.create', plan,
             json_build_object('active_from', active_from,
                               'base_price_micro_usd', base_price_micro_usd::text,
                               'allowances', (select json_object_agg(meter, units::text)
                                                from allowances)),
             ${eventRequestId}
        from price`);
    return true;
  } catch (error) {
    if (violates(error, "plan_prices_pkey")) return false;
    throw error;
  }
}
