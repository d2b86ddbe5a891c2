import type {
  AvailabilityService,
  IncidentSchema,
  TenantAvailabilitySchema,
} from "@aerodb/rpc/aerodb/control/v1/availability_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { explainIncident, type Incident, type TenantAvailability } from "../app/availability.ts";

export interface Availabilities {
  /** Of this month so far with an empty month. */
  ofTenant(tenant: string, month: string): Promise<TenantAvailability>;
}

const MOST_INCIDENTS = 1_000;

export function availabilityService(
  availabilities: Availabilities,
): ServiceImpl<typeof AvailabilityService> {
  return {
    async getTenantAvailability({ tenant, month }) {
      return { availability: encodeAvailability(await availabilities.ofTenant(tenant, month)) };
    },
  };
}

function encodeAvailability(
  found: TenantAvailability,
): MessageInitShape<typeof TenantAvailabilitySchema> {
  const { tenantId, month, from, to, availablePercent, promise } = found;
  const { knownMinutes, downMinutes, plannedMinutes, unknownMinutes } = found;
  return {
    ...{ tenantId, month: month.name },
    ...{ from: encodeTime(new Date(from)), to: encodeTime(new Date(to)) },
    ...{ knownMinutes, downMinutes, plannedMinutes, unknownMinutes },
    ...(availablePercent !== undefined && { availablePercent }),
    ...(promise !== undefined && {
      promisedPercent: promise.percent,
      errorBudgetMinutes: promise.budgetMinutes,
      errorBudgetLeftMinutes: promise.leftMinutes,
    }),
    incidents: found.incidents.slice(0, MOST_INCIDENTS).map(encodeIncident),
  };
}

function encodeIncident(incident: Incident): MessageInitShape<typeof IncidentSchema> {
  const { from, to, minutes, planned, causes } = incident;
  return {
    beganAt: encodeTime(new Date(from)),
    ...(to !== undefined && { endedAt: encodeTime(new Date(to)) }),
    ...{ minutes, planned, causes: [...causes] },
    explanation: explainIncident(incident),
  };
}
