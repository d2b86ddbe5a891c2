/** A fleet in memory, for tests of the links: what should be is set, what comes in is kept. */
import { Fault, type GatewayId, type HostId } from "@aerodb/model";
import type { Watch } from "../app/changes.ts";
import type {
  DesiredState,
  Fleet,
  HostConflict,
  HostHello,
  ObservedReport,
  RouteTable,
  UsageEvent,
  WatchedSpan,
} from "../app/fleet.ts";
import type { HostFacts } from "../app/host-facts.ts";
import type { AskedElsewhere } from "../app/host-questions.ts";
import type { SentSample } from "../app/samples.ts";
import type { WarmInstance, WarmPolicy } from "../app/warm-instances.ts";

const NOTHING: DesiredState = {
  ...{ generation: 1n, instances: [], tenants: [], sharedTableChanges: [] },
};
const NO_ROUTES: RouteTable = { generation: 1n, routes: [], endpoints: [] };

type ShownCertificate = Parameters<Fleet["requireStanding"]>[0];

export class FakeFleet implements Fleet {
  desired: DesiredState = NOTHING;
  table: RouteTable = NO_ROUTES;
  readonly hellos: HostHello[] = [];
  readonly facts: HostFacts[] = [];
  readonly observed: ObservedReport[] = [];
  readonly usage: UsageEvent[] = [];
  readonly samples: SentSample[] = [];
  readonly watched: WatchedSpan[] = [];
  readonly disconnected: string[] = [];
  readonly conflicts: HostConflict[] = [];
  policies: readonly WarmPolicy[] = [];
  readonly warm: (readonly WarmInstance[])[] = [];
  /** Ids of hosts and gateways that may not be here. */
  readonly revoked = new Set<string>();
  readonly clockOffsets: number[] = [];
  /** What other controls asked, until it is taken, and what they were told. */
  asked: AskedElsewhere[] = [];
  readonly answers = new Map<string, { readonly answer: object } | { readonly fault: Fault }>();
  /** While set, everything that comes in waits. */
  gate: Promise<void> = Promise.resolve();
  /** How often what comes in is refused, as by a catalogue that is away. */
  refusals = 0;
  wholeReads = 0;
  routeReads = 0;
  #tokens = 0;
  /** The token of the newest stream of each host. */
  readonly #current = new Map<HostId, string>();
  readonly #wakes = new Set<() => void>();

  /** Something changed. */
  nudge(): void {
    for (const wake of this.#wakes) wake();
  }

  /** Another control process took the host over. */
  takeOver(): void {
    for (const hostId of this.#current.keys()) this.#current.set(hostId, "another");
  }

  async hostConnected(hostId: HostId, hello: HostHello): Promise<{ readonly token: string }> {
    this.hellos.push(hello);
    this.#tokens += 1;
    const token = `token-${this.#tokens}`;
    this.#current.set(hostId, token);
    return { token };
  }

  async hostConflicted(_: HostId, conflict: HostConflict): Promise<void> {
    await this.#takeIn();
    this.conflicts.push(conflict);
  }

  async requireStanding({ id }: ShownCertificate): Promise<void> {
    if (this.revoked.has(id)) throw new Fault("PERMISSION_DENIED", `${id} was revoked.`);
  }

  watchIdentity(): Watch {
    return this.#watch();
  }

  async hostHeard(hostId: HostId, token: string, clockOffsetMs?: number): Promise<boolean> {
    if (clockOffsetMs !== undefined) this.clockOffsets.push(clockOffsetMs);
    return token === this.#current.get(hostId);
  }

  async takeHostFacts(hostId: HostId, token: string, facts: HostFacts): Promise<boolean> {
    await this.#takeIn();
    this.facts.push(facts);
    return token === this.#current.get(hostId);
  }

  async hostDisconnected(_: HostId, token: string): Promise<void> {
    this.disconnected.push(token);
  }

  watchDesired(): Watch {
    return this.#watch();
  }

  async desiredWhole(): Promise<DesiredState> {
    this.wholeReads += 1;
    return this.desired;
  }

  async desiredChanges(_: HostId, after: bigint): Promise<DesiredState> {
    const { generation, instances, tenants, sharedTableChanges } = this.desired;
    return {
      generation,
      instances: instances.filter((instance) => instance.generation > after),
      tenants: tenants.filter((tenant) => tenant.generation > after),
      sharedTableChanges: sharedTableChanges.filter((change) => change.generation > after),
    };
  }

  async warmPolicies(): Promise<readonly WarmPolicy[]> {
    return this.policies;
  }

  async takeWarmInstances(_: HostId, ready: readonly WarmInstance[]): Promise<void> {
    await this.#takeIn();
    this.warm.push(ready);
  }

  watchQuestions(): Watch {
    return this.#watch();
  }

  async takeAskedElsewhere(): Promise<readonly AskedElsewhere[]> {
    return this.asked.splice(0);
  }

  async answerElsewhere(
    id: string,
    said: { readonly answer: object } | { readonly fault: Fault },
  ): Promise<void> {
    this.answers.set(id, said);
    this.nudge();
  }

  async takeObserved(_: HostId, report: ObservedReport): Promise<void> {
    await this.#takeIn();
    this.observed.push(report);
  }

  async gatewayConnected(): Promise<void> {}

  async gatewayDisconnected(gatewayId: GatewayId): Promise<void> {
    this.disconnected.push(gatewayId);
  }

  watchRoutes(): Watch {
    return this.#watch();
  }

  async routesWhole(): Promise<RouteTable> {
    return this.table;
  }

  async routeChanges(): Promise<RouteTable> {
    this.routeReads += 1;
    return this.table;
  }

  async takeUsage(_: HostId | GatewayId, events: readonly UsageEvent[]): Promise<void> {
    await this.#takeIn();
    this.usage.push(...events);
  }

  async takeWatched(_: GatewayId, spans: readonly WatchedSpan[]): Promise<void> {
    await this.#takeIn();
    this.watched.push(...spans);
  }

  async takeSamples(_: HostId, samples: readonly SentSample[]): Promise<void> {
    await this.#takeIn();
    this.samples.push(...samples);
  }

  async #takeIn(): Promise<void> {
    await this.gate;
    if (this.refusals === 0) return;
    this.refusals -= 1;
    throw new Fault("UNAVAILABLE", "The catalogue is away.");
  }

  #watch(): Watch {
    let changed = Promise.withResolvers<void>();
    const wake = (): void => changed.resolve();
    this.#wakes.add(wake);
    return {
      async changed(signal) {
        signal.throwIfAborted();
        signal.addEventListener("abort", wake, { once: true });
        await changed.promise;
        signal.throwIfAborted();
        changed = Promise.withResolvers<void>();
      },
      close: () => this.#wakes.delete(wake),
    };
  }
}
