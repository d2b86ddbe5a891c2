import type {
  HostPriceSchema,
  PlanPriceSchema,
  PricingService,
  RateSchema,
  TenantCostSchema,
} from "@aerodb/rpc/aerodb/control/v1/pricing_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { HostPrice, PlatformCost, TenantCost } from "../app/cost.ts";
import type {
  Calculation,
  NewPlanPrice,
  NewRate,
  PlanPrice,
  Rate,
  UnitsByMeter,
} from "../app/pricing.ts";
import { callerOf } from "./caller.ts";
import { encodeLine } from "./encode-line.ts";
import { told } from "./told.ts";

export interface Pricing {
  calculate(ask: { readonly plan: string; readonly usage: UnitsByMeter }): Promise<Calculation>;
  rates(): Promise<readonly Rate[]>;
  addRate(caller: Caller, ask: NewRate): Promise<Rate>;
  planPrices(): Promise<readonly PlanPrice[]>;
  addPlanPrice(caller: Caller, ask: NewPlanPrice): Promise<PlanPrice>;
  hostPrices(): Promise<readonly HostPrice[]>;
  addHostPrice(
    caller: Caller,
    ask: { readonly host: string; readonly microUsdPerMonth: bigint },
  ): Promise<HostPrice>;
  cost(): Promise<PlatformCost>;
}

export function pricingService(pricing: Pricing): ServiceImpl<typeof PricingService> {
  return {
    async calculatePrice({ plan, usage }) {
      const { month, lines, totalMicroUsd } = await pricing.calculate({ plan, usage });
      return {
        month: month.name,
        lines: lines.map((line) => encodeLine(line, month)),
        totalMicroUsd,
      };
    },

    async listRates() {
      return { rates: (await pricing.rates()).map(encodeRate) };
    },

    async createRate({ meter, activeFrom, microUsd, perUnits }, context) {
      const ask = { meter, activeFrom, microUsd, perUnits };
      return { rate: encodeRate(await pricing.addRate(callerOf(context), ask)) };
    },

    async listPlanPrices() {
      return { planPrices: (await pricing.planPrices()).map(encodePlanPrice) };
    },

    async createPlanPrice({ plan, activeFrom, basePriceMicroUsd, allowances }, context) {
      const ask = { plan, activeFrom, basePriceMicroUsd, allowances };
      return { planPrice: encodePlanPrice(await pricing.addPlanPrice(callerOf(context), ask)) };
    },

    async listHostPrices() {
      return { hostPrices: (await pricing.hostPrices()).map(encodeHostPrice) };
    },

    async createHostPrice({ host, microUsdPerMonth }, context) {
      const ask = { host, microUsdPerMonth };
      return { hostPrice: encodeHostPrice(await pricing.addHostPrice(callerOf(context), ask)) };
    },

    async calculateCost() {
      const { costs, usedMicroUsd, ...rest } = await pricing.cost();
      return { ...rest, usedMicroUsd: told(usedMicroUsd), costs: costs.map(encodeCost) };
    },
  };
}

function encodeRate(rate: Rate): MessageInitShape<typeof RateSchema> {
  const { meter, microUsd, perUnits } = rate;
  return { meter, microUsd, perUnits, activeFrom: monthName(rate.activeFrom) };
}

function encodePlanPrice(price: PlanPrice): MessageInitShape<typeof PlanPriceSchema> {
  const { plan, basePriceMicroUsd, allowances } = price;
  return {
    ...{ plan, basePriceMicroUsd, activeFrom: monthName(price.activeFrom) },
    allowances: Object.fromEntries(Object.entries(allowances)),
  };
}

function encodeHostPrice(price: HostPrice): MessageInitShape<typeof HostPriceSchema> {
  const { hostId, hostName, activeFrom, microUsdPerMonth } = price;
  return {
    ...{ hostId, hostName: hostName ?? "", microUsdPerMonth },
    activeFrom: encodeTime(activeFrom),
  };
}

function encodeCost(cost: TenantCost): MessageInitShape<typeof TenantCostSchema> {
  const { plan, isolation, scarce, tenants, use } = cost;
  return {
    ...{ plan, isolation, scarce, tenants: Number(tenants) },
    memoryBytes: told(use.memoryBytes),
    cpuMicros: told(use.cpuMicros),
    storageBytes: told(use.storageBytes),
    whenFullMicroUsd: told(cost.whenFullMicroUsd),
    nowMicroUsd: told(cost.nowMicroUsd),
  };
}

function monthName(at: Date): string {
  return at.toISOString().slice(0, 7);
}
