/** Which watched spans can be true. Nothing of a span is believed before. */
import { type IncidentCause, isGatewayCause, monthOf } from "@aerodb/model";

/** A span, or a part of one, as a gateway sent it. */
export interface WatchedSpan {
  readonly sequence: bigint;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly unreached: readonly { readonly cause: string; readonly tenantIds: readonly string[] }[];
  /** When the gateway's own certificate ends; undefined: it does not say. */
  readonly certificateEndsAt: Date | undefined;
}

/** One tenant to whom nobody got through in one span. */
export interface UnreachedTenant {
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly cause: IncidentCause;
  readonly tenantId: string;
}

/** Why a span, or what it says of a tenant, is refused. */
export type WatchRefusal =
  | "unknown_cause" // Nobody finds such a cause.
  | "foreign_tenant" // There is no such tenant, or it did not serve yet.
  | "impossible_time" // No time, one that ends before it begins, or of two months.
  | "too_long" // It is longer than a gateway looks at once.
  | "too_late" // It was so long ago that nobody counts it any more.
  | "too_early" // It has not happened yet.
  | "not_there"; // The gateway had not joined.

export interface JudgedSpans {
  readonly watched: readonly WatchedSpan[];
  readonly unreached: readonly UnreachedTenant[];
  readonly refused: readonly {
    readonly because: WatchRefusal;
    readonly sequence: bigint;
    readonly tenantId: string;
  }[];
}

const MINUTE_MS = 60_000;
const LATEST_MS = 40 * 24 * 60 * MINUTE_MS;
/** How far a clock may be ahead. */
const EARLIEST_MS = 5 * MINUTE_MS;

export interface WatchContext {
  readonly now: Date;
  /** When the gateway joined. */
  readonly joinedAt: Date;
  /** Since when each tenant has served; those who never did are not in it. */
  readonly servedSince: ReadonlyMap<string, Date>;
}

/** Spans that a gateway sent, apart from what cannot be true of them. */
export function judgeSpans(spans: readonly WatchedSpan[], context: WatchContext): JudgedSpans {
  const watched: WatchedSpan[] = [];
  const unreached: UnreachedTenant[] = [];
  const refused: { because: WatchRefusal; sequence: bigint; tenantId: string }[] = [];
  for (const span of spans) {
    const { sequence, startedAt, endedAt } = span;
    const because = refusalOf(span, context);
    if (because !== undefined) {
      refused.push({ because, sequence, tenantId: "" });
      continue;
    }
    watched.push(span);
    for (const { cause, tenantIds } of span.unreached) {
      for (const tenantId of tenantIds) {
        const since = context.servedSince.get(tenantId);
        if (!isGatewayCause(cause)) refused.push({ because: "unknown_cause", sequence, tenantId });
        else if (since === undefined || since > endedAt)
          refused.push({ because: "foreign_tenant", sequence, tenantId });
        else unreached.push({ startedAt, endedAt, cause, tenantId });
      }
    }
  }
  return { watched, unreached, refused };
}

function refusalOf(
  { startedAt, endedAt }: WatchedSpan,
  { now, joinedAt }: WatchContext,
): WatchRefusal | undefined {
  const startedMs = startedAt.getTime();
  const endedMs = endedAt.getTime();
  // Not a number is neither more nor less than another.
  if (!(endedMs > startedMs)) return "impossible_time";
  if (endedMs - startedMs > MINUTE_MS) return "too_long";
  if (endedMs < now.getTime() - LATEST_MS) return "too_late";
  if (endedMs > now.getTime() + EARLIEST_MS) return "too_early";
  if (endedMs < joinedAt.getTime()) return "not_there";
  if (monthOf(startedAt).name !== monthOf(new Date(endedMs - 1)).name) return "impossible_time";
  return undefined;
}
