import { METERS } from "@aerodb/model";
import type {
  MeterUsageSchema,
  TenantUsageSchema,
  UsageService,
} from "@aerodb/rpc/aerodb/control/v1/usage_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { MeterUsage, TenantUsage } from "../app/usage-report.ts";
import { told } from "./told.ts";

export interface Usage {
  /** Of this month so far without a month. */
  ofTenant(tenant: string, month?: string): Promise<TenantUsage>;
}

export function usageService(usage: Usage): ServiceImpl<typeof UsageService> {
  return {
    async getTenantUsage({ tenant }) {
      return { usage: encodeUsage(await usage.ofTenant(tenant)) };
    },

    async getTenantUsageOfMonth({ tenant, month }) {
      return { usage: encodeUsage(await usage.ofTenant(tenant, month)) };
    },
  };
}

function encodeUsage(usage: TenantUsage): MessageInitShape<typeof TenantUsageSchema> {
  const { tenantId, month, from, to, meters } = usage;
  return {
    ...{ tenantId, month: month.name },
    ...{ from: encodeTime(from), to: encodeTime(to) },
    meters: meters.map(encodeMeter),
  };
}

function encodeMeter(usage: MeterUsage): MessageInitShape<typeof MeterUsageSchema> {
  const { kind, about } = METERS[usage.meter];
  const { meter, amount, average, now, days } = usage;
  return {
    ...{ meter, kind, about, unit: unitOf(meter, kind) },
    ...{ amount: told(amount), average },
    days: days.map((day) => ({ date: day.date, amount: told(day.amount) })),
    ...(now !== undefined && { now }),
  };
}

/** The unit is the end of the meter's name, as in `egress_bytes`; else it counts. */
function unitOf(meter: string, kind: string): string {
  if (meter.endsWith("_mib_seconds")) return "MiB-seconds";
  if (meter.endsWith("_seconds")) return "seconds";
  if (!meter.endsWith("_bytes")) return "count";
  return kind === "gauge" ? "byte-hours" : "bytes";
}
