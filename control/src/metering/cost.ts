/**
 * What tenants cost whoever runs the platform, as a pure function of what hosts cost and of what is
 * measured in them. A tenant takes of a host the largest of its shares of memory, processor time
 * and storage, for that many fewer of its kind fit: so much of the host's price is its cost on a
 * host that is full. What hosts have idle is spread over all tenants in proportion to that.
 */
import { roundHalfEven } from "./invoice.ts";

/** What is used, or what there is. */
export interface Resources {
  readonly memoryBytes: bigint;
  /** Microseconds of processor time in a second: 1,000,000 is one core. */
  readonly cpuMicros: bigint;
  readonly storageBytes: bigint;
}

/** Tenants of one plan and isolation in one instance. */
export interface TenantGroup {
  readonly plan: string;
  readonly isolation: string;
  readonly tenants: bigint;
  /** What they use together. */
  readonly use: Resources;
}

export interface CostedHost {
  readonly microUsdPerMonth: bigint;
  readonly capacity: Resources;
  readonly groups: readonly TenantGroup[];
}

export type ScarceResource = "memory" | "cpu" | "storage";

/** What tenants of one plan and isolation cost, on average. */
export interface TenantCost {
  readonly plan: string;
  readonly isolation: string;
  readonly tenants: bigint;
  readonly use: Resources;
  /** Of what they take most of a host. */
  readonly scarce: ScarceResource;
  /** In a month, on hosts that such tenants fill. */
  readonly whenFullMicroUsd: bigint;
  /** In a month, with its share of what is idle now. */
  readonly nowMicroUsd: bigint;
}

export interface Cost {
  /** What a month of all hosts costs. */
  readonly hostsMicroUsd: bigint;
  /** How much of that is used: the rest is idle. */
  readonly usedMicroUsd: bigint;
  readonly costs: readonly TenantCost[];
}

/** A micro-dollar has so many parts while shares are added up. */
const PARTS = 1_000_000_000_000n;
const RESOURCES = [
  ["memory", "memoryBytes"],
  ["cpu", "cpuMicros"],
  ["storage", "storageBytes"],
] as const;

/** What an instance uses, shared out over the tenants in it. */
export function shareInstance(
  use: Resources,
  groups: readonly (Omit<TenantGroup, "use"> & {
    /** What was metered of them. */
    readonly storageBytes: bigint;
  })[],
): readonly TenantGroup[] {
  const tenants = groups.reduce((sum, group) => sum + group.tenants, 0n);
  const metered = groups.reduce((sum, { storageBytes }) => sum + storageBytes, 0n);
  // What is nobody's own is there for all of them alike.
  const common = use.storageBytes > metered ? use.storageBytes - metered : 0n;
  return groups.map(({ storageBytes, ...group }) => ({
    ...group,
    use: {
      memoryBytes: (use.memoryBytes * group.tenants) / tenants,
      cpuMicros: (use.cpuMicros * group.tenants) / tenants,
      storageBytes: storageBytes + (common * group.tenants) / tenants,
    },
  }));
}

interface Sum extends TenantGroup {
  /** Of a micro-dollar. */
  readonly parts: bigint;
  /** The same, had it to pay for one resource only. */
  readonly partsOf: Readonly<Record<ScarceResource, bigint>>;
}

/** In order of plan and isolation. Amounts are rounded once, half to even. */
export function costOf(hosts: readonly CostedHost[]): Cost {
  const sums = new Map<string, Sum>();
  for (const host of hosts) {
    for (const group of host.groups) {
      const key = `${group.plan} ${group.isolation}`;
      const known = sums.get(key);
      const sum = sumOf(host, group);
      sums.set(key, known === undefined ? sum : add(known, sum));
    }
  }
  const hostsMicroUsd = hosts.reduce((sum, host) => sum + host.microUsdPerMonth, 0n);
  const parts = [...sums.values()].reduce((sum, each) => sum + each.parts, 0n);
  const all = { hostsMicroUsd, parts };
  const ordered = [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    hostsMicroUsd,
    usedMicroUsd: roundHalfEven(parts, PARTS),
    costs: ordered.map(([, sum]) => tenantCost(sum, all)),
  };
}

function sumOf({ microUsdPerMonth, capacity }: CostedHost, group: TenantGroup): Sum {
  const price = microUsdPerMonth * PARTS;
  const share = (used: bigint, there: bigint): bigint => {
    return there === 0n ? 0n : (price * used) / there;
  };
  const { use } = group;
  const partsOf = {
    memory: share(use.memoryBytes, capacity.memoryBytes),
    cpu: share(use.cpuMicros, capacity.cpuMicros),
    storage: share(use.storageBytes, capacity.storageBytes),
  };
  return { ...group, partsOf, parts: partsOf[scarcest(partsOf)] };
}

function scarcest(parts: Sum["partsOf"]): ScarceResource {
  const [first, ...others] = RESOURCES.map(([name]) => name);
  return others.reduce<ScarceResource>(
    (most, name) => (parts[name] > parts[most] ? name : most),
    first ?? "memory",
  );
}

function add(a: Sum, b: Sum): Sum {
  return {
    ...a,
    tenants: a.tenants + b.tenants,
    parts: a.parts + b.parts,
    use: mapResources((name) => a.use[name] + b.use[name]),
    partsOf: {
      memory: a.partsOf.memory + b.partsOf.memory,
      cpu: a.partsOf.cpu + b.partsOf.cpu,
      storage: a.partsOf.storage + b.partsOf.storage,
    },
  };
}

function tenantCost(
  sum: Sum,
  all: { readonly hostsMicroUsd: bigint; readonly parts: bigint },
): TenantCost {
  const { plan, isolation, tenants, parts, use } = sum;
  return {
    ...{ plan, isolation, tenants },
    use: mapResources((name) => roundHalfEven(use[name], tenants)),
    scarce: scarcest(sum.partsOf),
    whenFullMicroUsd: roundHalfEven(parts, PARTS * tenants),
    nowMicroUsd:
      all.parts === 0n ? 0n : roundHalfEven(all.hostsMicroUsd * parts, all.parts * tenants),
  };
}

function mapResources(of: (name: keyof Resources) => bigint): Resources {
  return {
    memoryBytes: of("memoryBytes"),
    cpuMicros: of("cpuMicros"),
    storageBytes: of("storageBytes"),
  };
}
