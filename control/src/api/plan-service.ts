import type { Plan } from "@aerodb/model";
import type { PlanSchema, PlanService } from "@aerodb/rpc/aerodb/control/v1/plan_service_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { PlanChange } from "../app/plans.ts";
import { callerOf } from "./caller.ts";

export interface Plans {
  list(): Promise<readonly Plan[]>;
  update(caller: Caller, change: PlanChange): Promise<Plan>;
}

export function planService(plans: Plans): ServiceImpl<typeof PlanService> {
  return {
    async listPlans() {
      return { plans: (await plans.list()).map(encodePlan) };
    },

    async updatePlan({ plan, requirements }, context) {
      const requiredCapabilities = requirements?.capabilities;
      const change = { plan, requiredCapabilities };
      return { plan: encodePlan(await plans.update(callerOf(context), change)) };
    },
  };
}

function encodePlan(plan: Plan): MessageInitShape<typeof PlanSchema> {
  return {
    name: plan.name,
    isolations: [...plan.isolations],
    defaultIsolation: plan.defaultIsolation,
    quotas: {
      storageBytes: plan.storageBytes,
      apiRequestsPerMonth: plan.apiRequestsPerMonth,
      fileStorageBytes: plan.fileStorageBytes,
      realtimeConnections: plan.realtimeConnections,
    },
    resources: {
      connectionLimit: plan.connectionLimit,
      memoryMib: plan.memoryMiB,
      cpuMillis: plan.cpuMillis,
      storageMib: plan.storageMiB,
      pidsLimit: plan.pidsLimit,
      importance: plan.importance,
    },
    requirements: { capabilities: [...plan.requiredCapabilities] },
    basePriceMicroUsd: plan.basePriceMicroUsd,
  };
}
