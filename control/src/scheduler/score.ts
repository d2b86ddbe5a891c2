import type { HostId, InstanceId } from "@aerodb/model";
import { type Ask, CPU_OVERCOMMIT, type HostView, type SharedInstanceView } from "./ask.ts";
import { newestEngineMajor } from "./feasible.ts";

/** Hosts whose fill differs by less are equally filled: what they can do decides then. */
const FILL_STEPS = 20;

/**
 * How well a feasible host suits an ask. Scores are compared field by field from the top, and lower
 * wins: the order of declaration is the policy.
 */
export interface HostScore {
  /** Majors behind the newest that any feasible host runs. */
  readonly engineAge: number;
  /** Share of the scarcest resource that would be promised, in twentieths: load is spread. */
  readonly fillStep: number;
  /** 1 when the ask has a storage limit that the host cannot enforce: it may be exceeded there. */
  readonly softLimit: 0 | 1;
  /** 1 when instances are copied, not cloned: making one takes longer and more disk. */
  readonly copies: 0 | 1;
  /** The same share exactly. */
  readonly fill: number;
  /** Breaks ties: the same fleet and the same ask always give the same host. */
  readonly hostId: HostId;
}

export function scoreHost(host: HostView, ask: Ask, newestMajor: number): HostScore {
  const memory = (host.reservedMemoryMiB + ask.memoryMiB) / host.capacityMemoryMiB;
  const processor =
    (host.reservedCpuMillis + ask.cpuMillis) / (host.capacityCpuMillis * CPU_OVERCOMMIT);
  const fill = Math.max(memory, processor);
  const { capabilities } = host;
  const softLimit = ask.storageMiB > 0 && !capabilities.includes("hard_storage_limit");
  return {
    engineAge: newestMajor - (newestEngineMajor(host) ?? 0),
    fillStep: Math.floor(fill * FILL_STEPS),
    softLimit: softLimit ? 1 : 0,
    copies: capabilities.includes("reflink") ? 0 : 1,
    fill,
    hostId: host.id,
  };
}

export function compareHostScores(a: HostScore, b: HostScore): number {
  return (
    a.engineAge - b.engineAge ||
    a.fillStep - b.fillStep ||
    a.softLimit - b.softLimit ||
    a.copies - b.copies ||
    a.fill - b.fill ||
    (a.hostId < b.hostId ? -1 : 1)
  );
}

/** How well a shared instance with room suits one more tenant; compared like a host's score. */
export interface SharedInstanceScore {
  /** 1 while it does not run yet: the tenant would wait for it. */
  readonly notRunning: 0 | 1;
  readonly tenantCount: number;
  readonly instanceId: InstanceId;
}

export function scoreSharedInstance(instance: SharedInstanceView): SharedInstanceScore {
  return {
    notRunning: instance.running ? 0 : 1,
    tenantCount: instance.tenantCount,
    instanceId: instance.id,
  };
}

export function compareSharedInstanceScores(
  a: SharedInstanceScore,
  b: SharedInstanceScore,
): number {
  return (
    a.notRunning - b.notRunning ||
    a.tenantCount - b.tenantCount ||
    (a.instanceId < b.instanceId ? -1 : 1)
  );
}
