/** Whether a host can take an ask, and the sentence that says why not. */
import {
  type Ask,
  CPU_OVERCOMMIT,
  type HostView,
  NEW_INSTANCE_STORAGE_MIB,
  storageReserveMiB,
} from "./ask.ts";

/** Why a host cannot take an ask. `short` groups hosts in a summary. */
export interface Refusal {
  readonly short: string;
  readonly sentence: string;
}

/** Undefined when the host can take the ask; else the first reason why it cannot. */
export function refusalOf(host: HostView, ask: Ask): Refusal | undefined {
  if (ask.isolation === "cluster") {
    return {
      short: "no cluster placement",
      sentence:
        "Cluster placement is not available in this version: it needs two exclusive hosts, " +
        "and no host can be set aside as exclusive yet.",
    };
  }
  return (
    refusalByState(host) ??
    refusalByEngine(host) ??
    refusalByCapabilities(host, ask.requiredCapabilities) ??
    refusalByStorage(host, NEW_INSTANCE_STORAGE_MIB) ??
    refusalBySize(host, ask)
  );
}

/** The same for one more tenant in a shared instance that the host has already. */
export function refusalToShare(
  host: HostView,
  requiredCapabilities: readonly string[],
): Refusal | undefined {
  return (
    refusalByState(host) ??
    refusalByCapabilities(host, requiredCapabilities) ??
    refusalByStorage(host, 0)
  );
}

function refusalByState(host: HostView): Refusal | undefined {
  if (!host.connected) {
    return { short: "not connected", sentence: "Its agent is not connected." };
  }
  if (host.cordoned) {
    return { short: "cordoned", sentence: "It is cordoned: it takes no new placements." };
  }
  return undefined;
}

function refusalByEngine(host: HostView): Refusal | undefined {
  if (newestEngineMajor(host) !== undefined) return undefined;
  const under = host.enginesUnderFloor;
  if (under.length > 0) {
    return {
      short: "engine under floor",
      sentence:
        "It runs in production, and its engines are under the version floor: " +
        `${under.join(", ")}. Install a newer minor version.`,
    };
  }
  return { short: "no engine", sentence: "Its agent found no engine that it can run." };
}

/** Undefined when the host can do all that is required. */
export function refusalByCapabilities(
  host: Pick<HostView, "capabilities">,
  required: readonly string[],
): Refusal | undefined {
  const missing = required.filter((each) => !host.capabilities.includes(each));
  if (missing.length === 0) return undefined;
  const sentence = `The plan requires what it cannot do: ${missing.join(", ")}.`;
  return { short: `without ${missing.join(" and ")}`, sentence };
}

/** What a host's agent did not measure refuses nothing. */
function refusalByStorage(host: HostView, neededMiB: number): Refusal | undefined {
  if (host.storageMiB === null || host.freeStorageMiB === null) return undefined;
  const reserve = storageReserveMiB(host.storageMiB);
  if (host.freeStorageMiB >= reserve + neededMiB) return undefined;
  const kept = `${reserve} are kept for what it has already`;
  const sentence = `It has ${host.freeStorageMiB} MiB of its disk left, and ${kept}.`;
  return { short: "full (disk)", sentence };
}

/** Undefined when the host can promise so much more memory and processor time. */
export function refusalBySize(
  host: Pick<
    HostView,
    "capacityMemoryMiB" | "reservedMemoryMiB" | "capacityCpuMillis" | "reservedCpuMillis"
  >,
  ask: Pick<Ask, "memoryMiB" | "cpuMillis">,
): Refusal | undefined {
  const freeMemoryMiB = host.capacityMemoryMiB - host.reservedMemoryMiB;
  if (ask.memoryMiB > 0 && ask.memoryMiB > freeMemoryMiB) {
    const sentence = `It has ${freeMemoryMiB} MiB of memory left; ${ask.memoryMiB} are asked for.`;
    return { short: "full (memory)", sentence };
  }
  const freeCpuMillis = host.capacityCpuMillis * CPU_OVERCOMMIT - host.reservedCpuMillis;
  if (ask.cpuMillis > 0 && ask.cpuMillis > freeCpuMillis) {
    const sentence =
      `It can promise ${freeCpuMillis} thousandths of a core more; ` +
      `${ask.cpuMillis} are asked for.`;
    return { short: "full (processor)", sentence };
  }
  return undefined;
}

/** Major version of the newest engine a host can run. */
export function newestEngineMajor(host: HostView): number | undefined {
  const majors = host.engines.map((version) => Number.parseInt(version, 10));
  const known = majors.filter((major) => Number.isInteger(major) && major >= 15);
  return known.length === 0 ? undefined : Math.max(...known);
}
