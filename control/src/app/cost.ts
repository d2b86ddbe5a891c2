/** What hosts cost, and what tenants cost by that. */
import { Fault } from "@aerodb/model";
import { type Cost, costOf, type Resources, shareInstance } from "../metering/cost.ts";
import * as store from "../store/host-costs.ts";
import type { Caller, Control } from "./control.ts";
import { getHost } from "./hosts.ts";

export type { TenantCost } from "../metering/cost.ts";

/** In place of a host: every one that has no price of its own. */
const ANY_HOST = "any";
const MIB = 1_048_576n;

export interface PlatformCost extends Cost {
  readonly hosts: number;
  /** Hosts without a price: what is in them is not in the sums. */
  readonly unpricedHosts: number;
  /** Tenants in those, or in instances of which nothing was measured lately. */
  readonly leftOutTenants: number;
}

/** Every price of a host there was and is, newest first. */
export function listHostPrices(control: Control): Promise<readonly store.HostPrice[]> {
  return store.listHostPrices(control.database);
}

/** Sets what a month of a host costs from now on. A repeat changes nothing. HOST_NOT_FOUND. */
export async function createHostPrice(
  control: Control,
  caller: Caller,
  ask: { readonly host: string; readonly microUsdPerMonth: bigint },
): Promise<store.HostPrice> {
  const hostId = ask.host === ANY_HOST ? ANY_HOST : (await getHost(control, ask.host)).id;
  const { microUsdPerMonth } = ask;
  await store.insertHostPrice(control.database, {
    ...{ hostId, microUsdPerMonth },
    ...{ principal: caller.principal, eventRequestId: caller.requestId },
  });
  const prices = await store.listHostPrices(control.database);
  const newest = prices.find((price) => price.hostId === hostId);
  if (newest === undefined) throw new Fault("UNAVAILABLE", "The price is not there: try again.");
  return newest;
}

/** What tenants cost now, by what was measured in the last minutes. */
export async function calculateCost(control: Control): Promise<PlatformCost> {
  const capacities = await store.listHostCapacities(control.database);
  const uses = await store.listInstanceUses(control.database);
  const byHost = Map.groupBy(uses, ({ hostId }) => hostId);
  const priced = capacities.flatMap((host) => {
    const { microUsdPerMonth } = host;
    if (microUsdPerMonth === null) return [];
    const groups = (byHost.get(host.id) ?? []).flatMap(groupsOf);
    return [{ microUsdPerMonth, capacity: capacityOf(host), groups }];
  });
  const cost = costOf(priced);
  const counted = cost.costs.reduce((sum, { tenants }) => sum + Number(tenants), 0);
  return {
    ...cost,
    hosts: capacities.length,
    unpricedHosts: capacities.length - priced.length,
    leftOutTenants: uses.reduce((sum, use) => sum + tenantsIn(use), 0) - counted,
  };
}

function tenantsIn({ groups }: store.InstanceUse): number {
  return groups.reduce((sum, { tenants }) => sum + tenants, 0);
}

function groupsOf({ memoryBytes, cores, storageBytes, groups }: store.InstanceUse) {
  if (memoryBytes === null) return [];
  const use: Resources = {
    memoryBytes: BigInt(Math.round(memoryBytes)),
    cpuMicros: BigInt(Math.round((cores ?? 0) * 1_000_000)),
    storageBytes: BigInt(Math.round(storageBytes ?? 0)),
  };
  const shares = groups.map((group) => ({
    ...group,
    tenants: BigInt(group.tenants),
    storageBytes: BigInt(group.storageBytes),
  }));
  return shareInstance(use, shares);
}

function capacityOf({ memoryMiB, cpuMillis, storageMiB }: store.HostCapacity): Resources {
  return {
    memoryBytes: BigInt(memoryMiB) * MIB,
    cpuMicros: BigInt(cpuMillis) * 1_000n,
    storageBytes: BigInt(storageMiB ?? 0) * MIB,
  };
}

export type HostPrice = store.HostPrice;
