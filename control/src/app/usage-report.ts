/** What a tenant used in a month, for whoever asks. */
import {
  type CalendarMonth,
  isMeter,
  METERS,
  type Meter,
  metersOf,
  monthOf,
  type TenantId,
} from "@aerodb/model";
import { now } from "@aerodb/runtime";
import {
  type DayAmount,
  readDayAmounts,
  readGauges,
  readServedSpan,
} from "../store/usage-report.ts";
import type { Control } from "./control.ts";
import { requireBilled } from "./credit-notes.ts";
import { requireBegun } from "./named-month.ts";

/** What one meter says of a month; of a gauge amounts are its value times hours. */
export interface MeterUsage {
  readonly meter: Meter;
  readonly amount: bigint;
  readonly average: number;
  /** Of a gauge what it was when it was last read. */
  readonly now: bigint | undefined;
  readonly days: readonly { readonly date: string; readonly amount: bigint }[];
}

export interface TenantUsage {
  readonly tenantId: TenantId;
  readonly month: CalendarMonth;
  /** The part of the month for which the tenant was there, up to now. */
  readonly from: Date;
  readonly to: Date;
  readonly meters: readonly MeterUsage[];
}

const HOUR_MS = 3_600_000n;
const SECOND_MS = 1_000;

/** TENANT_NOT_FOUND, INVALID_ARGUMENT. Of this month so far without a month. */
export async function getTenantUsage(
  control: Control,
  tenant: string,
  name = "",
): Promise<TenantUsage> {
  const month = requireBegun(name, now());
  const { database } = control;
  const { id: tenantId } = await requireBilled(control, tenant);
  const served = await readServedSpan(database, tenantId);
  const from = earliest(month.endsAt, latest(month.startsAt, served?.from ?? month.startsAt));
  const to = latest(from, earliest(month.endsAt, served?.to ?? now()));
  const days = await readDayAmounts(database, {
    ...{ tenantId, from: month.startsAt, to: month.endsAt },
    highest: metersOf("peak"),
  });
  const isCurrent = month.name === monthOf(now()).name;
  const gauges = isCurrent ? await readGauges(database, tenantId) : [];
  const read = new Map(gauges.map(({ meter, value }) => [meter, value]));
  const meters = [...new Set([...days.map(({ meter }) => meter), ...read.keys()])];
  return {
    ...{ tenantId, month, from, to },
    meters: meters
      .filter(isMeter)
      .sort()
      .map((meter) =>
        usageOf(meter, days, { ms: to.getTime() - from.getTime(), now: read.get(meter) }),
      ),
  };
}

function usageOf(
  meter: Meter,
  all: readonly DayAmount[],
  span: { readonly ms: number; readonly now: bigint | undefined },
): MeterUsage {
  const { kind } = METERS[meter];
  const own = all.filter((each) => each.meter === meter);
  const whole = own.reduce(
    (sum, { amount }) => (kind !== "peak" ? sum + amount : amount > sum ? amount : sum),
    0n,
  );
  const scale = kind === "gauge" ? HOUR_MS : 1n;
  return {
    meter,
    amount: rounded(whole, scale),
    average: averageOf(kind, whole, span.ms),
    now: span.now,
    days: own.map(({ date, amount }) => ({ date, amount: rounded(amount, scale) })),
  };
}

function averageOf(kind: string, whole: bigint, ms: number): number {
  if (kind === "peak" || ms === 0) return 0;
  return kind === "gauge" ? Number(whole) / ms : (Number(whole) * SECOND_MS) / ms;
}

/** To the nearest. */
function rounded(amount: bigint, scale: bigint): bigint {
  return (amount + scale / 2n) / scale;
}

function latest(a: Date, b: Date): Date {
  return a > b ? a : b;
}

function earliest(a: Date, b: Date): Date {
  return a < b ? a : b;
}
