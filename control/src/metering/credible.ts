/**
 * Which readings can be true. What is refused says why: nothing of a reading is believed before.
 */
import { isMeter, METERS, type Meter, type MeterSource } from "@aerodb/model";

/** One numbered reading of one meter, as a host or a gateway sent it. */
export interface UsageEvent {
  readonly sequence: bigint;
  readonly meter: string;
  readonly tenantId: string;
  readonly value: bigint;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/** A reading that can be true, as far as it shows by itself. */
export interface CredibleEvent extends UsageEvent {
  readonly meter: Meter;
}

/** Why a reading is refused. */
export type RefusalReason =
  | "unknown_meter" // Nobody reads such a meter.
  | "foreign_meter" // A host read a meter of gateways, or a gateway one of hosts.
  | "foreign_tenant" // The tenant is unknown, or on another host.
  | "impossible_value" // Less than nothing, or more than could be counted.
  | "impossible_time" // No time, or one that ends before it begins.
  | "too_long" // It stands for more time than a reading may.
  | "too_late" // It ended so long ago that bills of that time are closed.
  | "too_early"; // It has not happened yet.

export interface RefusedEvent {
  readonly event: UsageEvent;
  readonly because: RefusalReason;
}

export interface JudgedUsage {
  readonly credible: readonly CredibleEvent[];
  readonly refused: readonly RefusedEvent[];
  /** Numbers that were skipped: readings that nobody will ever send. */
  readonly missing: readonly { readonly from: bigint; readonly to: bigint }[];
}

const HOUR_MS = 3_600_000;
/**
 * Bills close within the month that follows; a spool that is older than this has missed its bill.
 */
const LATEST_MS = 40 * 24 * HOUR_MS;
/** How far a clock may be ahead: what it reads is counted for a later hour then. */
const EARLIEST_MS = HOUR_MS;
const LONGEST_MS = 7 * 24 * HOUR_MS;
/** A pebibyte-hour in bytes and milliseconds still fits where amounts add up. */
const LARGEST = 2n ** 60n;

/**
 * Judges what a source sent in the order of its numbers. Numbers up to `after`, and those that
 * repeat, were judged before: they are left out. With `after` undefined nothing is known of the
 * source, and any number may be its first.
 */
export function judgeUsage(
  events: readonly UsageEvent[],
  context: {
    readonly source: MeterSource;
    readonly after: bigint | undefined;
    readonly now: Date;
    /** Tenants that the source may speak for. */
    readonly tenantIds: ReadonlySet<string>;
  },
): JudgedUsage {
  const credible: CredibleEvent[] = [];
  const refused: RefusedEvent[] = [];
  const missing: { from: bigint; to: bigint }[] = [];
  let last = context.after;
  for (const event of events) {
    if (last !== undefined && event.sequence <= last) continue;
    if (last !== undefined && event.sequence > last + 1n) {
      missing.push({ from: last + 1n, to: event.sequence - 1n });
    }
    last = event.sequence;
    const because = refusalOf(event, context);
    if (because !== undefined) refused.push({ event, because });
    else credible.push(event as CredibleEvent);
  }
  return { credible, refused, missing };
}

function refusalOf(
  event: UsageEvent,
  context: {
    readonly source: MeterSource;
    readonly now: Date;
    readonly tenantIds: ReadonlySet<string>;
  },
): RefusalReason | undefined {
  const { meter, value } = event;
  if (!isMeter(meter)) return "unknown_meter";
  if (METERS[meter].source !== context.source) return "foreign_meter";
  if (!context.tenantIds.has(event.tenantId)) return "foreign_tenant";
  if (value < 0n || value > LARGEST) return "impossible_value";
  const startedMs = event.startedAt.getTime();
  const endedMs = event.endedAt.getTime();
  // Not a number is neither more nor less than another.
  if (!(endedMs >= startedMs)) return "impossible_time";
  if (endedMs - startedMs > LONGEST_MS) return "too_long";
  if (endedMs < context.now.getTime() - LATEST_MS) return "too_late";
  if (endedMs > context.now.getTime() + EARLIEST_MS) return "too_early";
  return undefined;
}
