import { QUOTA_RESOURCES } from "@aerodb/model";
import type {
  QuotaService,
  QuotaStandingSchema,
  TenantQuotasSchema,
  QuotaOverride as WireOverride,
} from "@aerodb/rpc/aerodb/control/v1/quota_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { LargestRelations } from "../app/largest-relations.ts";
import {
  explainQuota,
  type QuotaOverride,
  type QuotaStanding,
  type QuotasAsk,
  suspends,
  suspensionAt,
  type TenantQuotas,
} from "../app/quotas.ts";
import { callerOf } from "./caller.ts";

export interface Quotas {
  get(tenant: string): Promise<TenantQuotas>;
  set(caller: Caller, ask: QuotasAsk): Promise<TenantQuotas>;
  largest(ask: {
    readonly tenant: string;
    readonly limit: number;
    readonly signal: AbortSignal;
  }): Promise<LargestRelations>;
}

export function quotaService(quotas: Quotas): ServiceImpl<typeof QuotaService> {
  return {
    async getTenantQuotas({ tenant }) {
      return { quotas: encodeQuotas(await quotas.get(tenant)) };
    },

    async setTenantQuotas({ tenant, overrides, grace }, context) {
      const own = grace === undefined ? undefined : { seconds: decodeSeconds(grace.seconds) };
      const ask = { tenant, overrides: overrides.flatMap(decodeOverride), grace: own };
      return { quotas: encodeQuotas(await quotas.set(callerOf(context), ask)) };
    },

    async listLargestRelations({ tenant, limit }, { signal }) {
      const { tenantId, relations } = await quotas.largest({ tenant, limit, signal });
      const sized = relations.map((each) => ({ ...each, bytes: BigInt(each.bytes) }));
      return { tenantId, relations: sized };
    },
  };
}

/** The contract lets none through that is no whole number of seconds that a number holds. */
function decodeSeconds(seconds: bigint | undefined): number | undefined {
  return seconds === undefined ? undefined : Number(seconds);
}

/** The contract lets no other resource through. */
function decodeOverride(override: WireOverride): readonly QuotaOverride[] {
  const resource = QUOTA_RESOURCES.find((each) => each === override.resource);
  return resource === undefined ? [] : [{ resource, quota: override.quota }];
}

function encodeQuotas(quotas: TenantQuotas): MessageInitShape<typeof TenantQuotasSchema> {
  const { seconds, overridden } = quotas.grace;
  return {
    tenantId: quotas.tenantId,
    quotas: quotas.standings.map((standing) => encodeStanding(standing, quotas)),
    grace: seconds === undefined ? {} : { seconds: BigInt(seconds) },
    graceSource: overridden ? "override" : "platform",
    suspendedByQuota: quotas.suspendedByQuota,
  };
}

function encodeStanding(
  standing: QuotaStanding,
  quotas: TenantQuotas,
): MessageInitShape<typeof QuotaStandingSchema> {
  const { resource, quota, overridden, used, usedAt, stage, since } = standing;
  const suspendsAt =
    stage === "reached" && suspends(resource) && since ? suspensionAt(since, quotas) : undefined;
  const { suspendedByQuota } = quotas;
  return {
    ...{ resource, used, stage },
    ...(quota !== undefined && { quota }),
    source: overridden ? "override" : "plan",
    ...(usedAt !== undefined && { usedAt: encodeTime(usedAt) }),
    ...(since !== undefined && { since: encodeTime(since) }),
    ...(suspendsAt !== undefined && { suspendsAt: encodeTime(suspendsAt) }),
    explanation: explainQuota({ ...standing, suspendsAt, suspendedByQuota }),
  };
}
