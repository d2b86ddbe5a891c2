/** What gateways found out of who can be reached, taken in. It may come late and twice. */
import type { GatewayId } from "@aerodb/model";
import { failpoint, now } from "@aerodb/runtime";
import { type JudgedSpans, judgeSpans, type WatchedSpan } from "../metering/credible-watch.ts";
import {
  addUnreachedTimes,
  addWatchComplaint,
  addWatchedTimes,
  readWatchContext,
} from "../store/availability.ts";
import { evaluateAlertsOf } from "./alerts.ts";
import type { Control } from "./control.ts";
import { cleanText } from "./text.ts";

export type { WatchedSpan };

const MAX_TEXT = 100;

/**
 * Notes when a gateway watched, and to whom nobody got through. What cannot be true is refused, and
 * told as an event. Times are added up as sets, so a repeat changes nothing. Resolves once none of
 * it need be sent again.
 */
export async function takeWatched(
  control: Control,
  gatewayId: GatewayId,
  sent: readonly WatchedSpan[],
): Promise<void> {
  const { database } = control;
  const spans = sent.map(cleanSpan);
  const asked = new Set(spans.flatMap((each) => each.unreached.flatMap((one) => one.tenantIds)));
  const { joinedAt, served } = await readWatchContext(database, gatewayId, [...asked]);
  const judged = judgeSpans(spans, {
    now: now(),
    // Of one that is not known any more nothing is believed.
    joinedAt: joinedAt ?? now(),
    servedSince: new Map(served.map(({ tenantId, since }) => [tenantId, since])),
  });
  await failpoint("control.watched.before_add");
  await database.transaction(async (db) => {
    const { watched, unreached } = judged;
    const certificateEndsAt = watched.at(-1)?.certificateEndsAt;
    if (watched.length > 0)
      await addWatchedTimes(db, gatewayId, { spans: watched, certificateEndsAt });
    if (unreached.length > 0) await addUnreachedTimes(db, unreached);
    const complaint = complaintOf(judged);
    if (complaint !== undefined) await addWatchComplaint(db, gatewayId, complaint);
    await failpoint("control.watched.before_commit");
  });
  await failpoint("control.watched.after_commit");
  if (judged.unreached.length > 0) await evaluateAlertsOf(control, "tenant_unreachable");
}

/** Texts as the catalogue can be asked for them. */
function cleanSpan(span: WatchedSpan): WatchedSpan {
  const unreached = span.unreached.map(({ cause, tenantIds }) => ({
    cause,
    tenantIds: tenantIds.map((tenantId) => cleanText(tenantId, MAX_TEXT)),
  }));
  return { ...span, unreached };
}

/** How many of each kind were refused, and one of them; undefined: none. */
function complaintOf({ refused }: JudgedSpans): Readonly<Record<string, unknown>> | undefined {
  const [example] = refused;
  if (example === undefined) return undefined;
  const counts: Record<string, number> = {};
  for (const { because } of refused) counts[because] = (counts[because] ?? 0) + 1;
  const { because, sequence } = example;
  const { tenantId } = example;
  return { refused: counts, example: { because, sequence: String(sequence), tenant_id: tenantId } };
}
