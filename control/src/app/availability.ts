/** Whether clients got through to a tenant in a month, for whoever asks. */
import type { CalendarMonth, IncidentCause, TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import {
  type Availability,
  availabilityOf,
  explainIncident,
  type Incident,
  type Times,
} from "../metering/availability.ts";
import { type AvailabilityRows, readAvailability } from "../store/availability.ts";
import type { Control } from "./control.ts";
import { requireBilled } from "./credit-notes.ts";
import { requireBegun } from "./named-month.ts";

export { explainIncident, type Incident };

export interface TenantAvailability extends Availability {
  readonly tenantId: TenantId;
  readonly month: CalendarMonth;
}

/** Gateways tell of a minute when it is over, so the last ones are not known yet. */
const TOLD_WITHIN_MS = 150_000;

/** TENANT_NOT_FOUND, INVALID_ARGUMENT. Of this month so far without a month. */
export async function getTenantAvailability(
  control: Control,
  tenant: string,
  name = "",
): Promise<TenantAvailability> {
  const nowAt = now();
  const month = requireBegun(name, nowAt);
  const { id: tenantId } = await requireBilled(control, tenant);
  const rows = await readAvailability(control.database, tenantId, month);
  const found = availabilityOf({
    month: { from: month.startsAt.getTime(), to: month.endsAt.getTime() },
    asOf: asOf(rows, nowAt),
    terms: rows.terms.map(({ from, to, availableMillionths }) => ({
      ...{ from, to: to ?? undefined, availableMillionths: availableMillionths ?? undefined },
    })),
    watched: rows.watched,
    unreached: new Map(
      rows.unreached.map(({ cause, times }): [IncidentCause, Times] => [cause, times]),
    ),
  });
  return { tenantId, month, ...found };
}

/** Where gateways have fallen silent, time goes on without them. */
function asOf({ toldAt }: AvailabilityRows, nowAt: Date): number {
  const nowMs = nowAt.getTime();
  const isFresh = toldAt !== null && toldAt > nowMs - TOLD_WITHIN_MS;
  return isFresh ? Math.min(toldAt, nowMs) : nowMs;
}
