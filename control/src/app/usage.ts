/** What hosts and gateways metered, taken into the ledger. It may come late and twice. */
import type { GatewayId, HostId } from "@aerodb/model";
import { failpoint, now } from "@aerodb/runtime";
import { type JudgedUsage, judgeUsage, type UsageEvent } from "../metering/credible.ts";
import { addUsage, holdUsageSource, noteUsageTaken } from "../store/usage.ts";
import type { Control } from "./control.ts";
import { cleanText } from "./text.ts";

export type { UsageEvent };

const MAX_TEXT = 100;
const LAST_SEQUENCE = 2n ** 63n - 1n;

/**
 * Adds readings to the ledger, each once. What cannot be true, or is not the source's to say, is
 * refused: counted, and told as an event. Resolves once all of them need not be sent again.
 */
export async function takeUsage(
  control: Control,
  source: HostId | GatewayId,
  sent: readonly UsageEvent[],
): Promise<void> {
  const events = sent
    .filter(({ sequence }) => sequence > 0n && sequence <= LAST_SEQUENCE)
    .map((event) => ({
      ...event,
      meter: cleanText(event.meter, MAX_TEXT),
      tenantId: cleanText(event.tenantId, MAX_TEXT),
    }));
  if (events.length === 0) return;
  const asked = [...new Set(events.map(({ tenantId }) => tenantId))];
  await control.database.transaction(async (db) => {
    const held = await holdUsageSource(db, source, asked);
    const judged = judgeUsage(events, {
      source: source.startsWith("gtw_") ? "gateway" : "host",
      after: held.sequence ?? undefined,
      now: now(),
      tenantIds: new Set(held.tenantIds),
    });
    await failpoint("control.usage.before_add");
    if (judged.credible.length > 0) await addUsage(db, source, judged.credible);
    await failpoint("control.usage.before_commit");
    await noteUsageTaken(db, {
      source,
      sequence: events.reduce((last, { sequence }) => (sequence > last ? sequence : last), 0n),
      added: judged.credible,
      refused: BigInt(judged.refused.length),
      complaint: complaintOf(judged),
    });
  });
  await failpoint("control.usage.after_commit");
}

/** What an operator needs to find out why: how many of each kind, and one of them. */
function complaintOf({ refused, missing }: JudgedUsage): UsageComplaint | null {
  if (refused.length === 0 && missing.length === 0) return null;
  const counts: Record<string, number> = {};
  for (const { because } of refused) counts[because] = (counts[because] ?? 0) + 1;
  const [example] = refused;
  return {
    refused: counts,
    ...(example !== undefined && {
      example: {
        because: example.because,
        sequence: String(example.event.sequence),
        meter: example.event.meter,
        tenant_id: example.event.tenantId,
        value: String(example.event.value),
      },
    }),
    ...(missing.length > 0 && {
      missing: missing.slice(0, 10).map(({ from, to }) => [String(from), String(to)]),
    }),
  };
}

type UsageComplaint = Readonly<Record<string, unknown>>;
