/**
 * An agent for tests, behind the same port as the links: holds in memory what a real one would run,
 * and reports it. It can be told to be slow, to be deaf, and to repeat itself.
 */
import type { HostId } from "@aerodb/model";
import type {
  DesiredInstance,
  DesiredTenant,
  Fleet,
  ObservedInstance,
  ObservedReport,
  ObservedTenant,
} from "./fleet.ts";
import type { HostFacts, HostFingerprint } from "./host-facts.ts";

export interface FakeAgentOptions {
  readonly hostId: HostId;
  readonly memoryMiB?: number;
  readonly generation?: bigint;
  /** False: takes desired state in and reports nothing by itself. */
  readonly reports?: boolean;
  readonly engines?: readonly string[];
  /** What it says besides of an instance, and of a tenant. */
  readonly ofInstance?: (instance: DesiredInstance) => Partial<ObservedInstance>;
  readonly ofTenant?: (tenant: DesiredTenant) => Partial<ObservedTenant>;
  readonly capabilities?: readonly string[];
  /** What is known of the host besides. */
  readonly fingerprint?: Partial<HostFingerprint>;
}

export interface FakeAgent {
  readonly token: string;
  readonly instances: ReadonlyMap<string, DesiredInstance>;
  readonly tenants: ReadonlyMap<string, DesiredTenant>;
  /** Newest generation taken in. */
  readonly generation: bigint;
  /** Reports sent so far, so that a test can send them again. */
  readonly sent: readonly ObservedReport[];
  /** Reads what changed now; the report that an obedient host would make of it. */
  pull(): Promise<ObservedReport>;
  /** Rejects when control refused what it reported. */
  readonly stopped: Promise<void>;
  /** Ends its session. */
  stop(): Promise<void>;
}

export async function startFakeAgent(fleet: Fleet, options: FakeAgentOptions): Promise<FakeAgent> {
  const { hostId, memoryMiB = 65_536, generation: ledger = 0n, reports = true } = options;
  const instances = new Map<string, DesiredInstance>();
  const tenants = new Map<string, DesiredTenant>();
  const sent: ObservedReport[] = [];
  let generation = 0n;
  let newest = 0;
  const stopping = new AbortController();
  const { token } = await fleet.hostConnected(hostId, {
    agentVersion: "0.0.0",
    edgeAddress: `${hostId}:1`,
    facts: sampleFacts({ ...options, fingerprint: { memoryMiB, ...options.fingerprint } }),
    generation: ledger,
  });
  const watch = fleet.watchDesired(hostId);

  async function pull(): Promise<ObservedReport> {
    const desired = await fleet.desiredChanges(hostId, generation);
    generation = desired.generation;
    for (const each of desired.instances) keep(instances, each);
    for (const each of desired.tenants) keep(tenants, each);
    newest = desired.sharedTableChanges.at(-1)?.number ?? newest;
    const changed = desired.sharedTableChanges.length === 0 ? [] : instances.values();
    return {
      instances: [...new Set([...desired.instances, ...changed])].map((each) => ({
        ...observeInstance(each),
        sharedTableChanges: each.shared ? newest : 0,
        ...options.ofInstance?.(each),
      })),
      tenants: desired.tenants.map((each) => ({
        ...observeTenant(each),
        ...options.ofTenant?.(each),
      })),
    };
  }

  async function follow(): Promise<void> {
    while (!stopping.signal.aborted) {
      const report = await pull();
      if (report.instances.length + report.tenants.length > 0) {
        sent.push(report);
        await fleet.takeObserved(hostId, report);
      }
      await watch.changed(stopping.signal).catch(() => undefined);
    }
  }

  const followed = reports ? follow() : Promise.resolve();
  return {
    token,
    instances,
    tenants,
    get generation() {
      return generation;
    },
    sent,
    stopped: followed,
    pull,
    async stop() {
      stopping.abort();
      watch.close();
      await followed;
      await fleet.hostDisconnected(hostId, token);
    },
  };
}

/** What such an agent says of its host. */
export function sampleFacts(over: Partial<FakeAgentOptions> = {}): HostFacts {
  return {
    engines: over.engines ?? ["18.4"],
    capabilities: over.capabilities ?? [],
    fingerprint: {
      bootId: "boot",
      memoryMiB: 65_536,
      cores: 64,
      ...{ processor: "test", architecture: "x64", operatingSystem: "test", kernel: "test" },
      driver: "process",
      foundEngines: [],
      fileSystems: [],
      ...{ volumeMeans: ["copy"], hardLimits: [], namespaces: [] },
      controlGroups: undefined,
      sandbox: "none",
      nftables: false,
      docker: undefined,
      ...over.fingerprint,
    },
  };
}

function keep<Thing extends { readonly id: string; readonly presence: string }>(
  held: Map<string, Thing>,
  thing: Thing,
): void {
  if (thing.presence === "present") held.set(thing.id, thing);
  else held.delete(thing.id);
}

export function observeInstance({ id, generation, presence }: DesiredInstance): ObservedInstance {
  const present = presence === "present";
  return {
    id,
    generation,
    state: present ? "running" : "absent",
    reason: "",
    socketDirectory: present ? `/run/${id}` : "",
    database: present ? "aerodb" : "",
    engine: "18.4",
    systemIdentifier: 18_446_744_073_709_551_615n,
    pendingRestart: [],
    walls: [],
    sharedTableChanges: 0,
  };
}

export function observeTenant(tenant: DesiredTenant): ObservedTenant {
  const { id, generation, presence, suspended } = tenant;
  const present = suspended ? "suspended" : "ready";
  return { id, generation, state: presence === "present" ? present : "absent", reason: "" };
}
