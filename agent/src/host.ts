/** The agent without its doors: what is desired, what runs, and the work between. */
import { join } from "node:path";
import { type InstanceId, messageOf } from "@aerodb/model";
import { every, Ledger, type Logger, now, Spool, sleep, within } from "@aerodb/runtime";
import type { Subject } from "./desired.ts";
import { DesiredIntake } from "./desired-intake.ts";
import type { InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import { FillWatch } from "./fill-watch.ts";
import { HostState } from "./host-state.ts";
import { type HungOptions, HungServers } from "./hung-servers.ts";
import { IsolationWatch, type KeptProof } from "./isolation-watch.ts";
import { KeptInstances } from "./kept-instances.ts";
import { LockWatch } from "./lock-watch.ts";
import type { MeterLogin } from "./meter/instance-meter.ts";
import { ResourceMeter } from "./meter/resource-meter.ts";
import { Sampler } from "./meter/sampler.ts";
import { openSampleSpool } from "./meter/samples-spool.ts";
import { StorageMeter } from "./meter/storage-meter.ts";
import { HostReconciler, type ReconcilerPorts } from "./reconciler.ts";
import { Sequence } from "./sequence.ts";
import { ServerEnds } from "./server-ends.ts";
import { type HostDisk, readHostDisk } from "./storage/host-reserve.ts";
import { markListed } from "./sweep.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";
import { Wakings } from "./wakings.ts";
import { roomInMemory, WarmInstances } from "./warm-instances.ts";

export interface HostOptions {
  readonly home: string;
  readonly driver: InstanceDriver;
  /** Made with the state, so that it can ask what an instance is for. */
  readonly tenants: (state: HostState) => TenantKeeper;
  /** How servers are asked how they are; left out, only what the host counts is measured. */
  readonly meterLogin?: MeterLogin;
  /** Whether there is memory for one more warm instance; left out, what the machine has decides. */
  readonly hasRoom?: () => boolean;
  /** What is left of the disk; left out, the machine is asked. */
  readonly hostDisk?: () => Promise<HostDisk>;
  /** When a server that answers nobody is ended. */
  readonly hung?: HungOptions;
  /** How often everything is looked at, whether or not anybody said that something changed. */
  readonly checkMs?: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const CHECK_MS = 45_000;
/** How long a server may take to answer before the next is looked at meanwhile. */
const PACE_MS = 200;
/** The same of what is asked it, which its tenants can make slow. */
const ASKED_MS = 2_000;
const METER_MS = 60_000;
/** What is written by the time the host's disk is looked at again must fit into its reserve. */
const DISK_MS = 500;
/** A volume that was filled keeps its tenant from truncating so long. */
const VOLUMES_MS = 2_000;
/** Nobody else can log in while a tenant holds all locks. */
const LOCKS_MS = 2_000;
const RUNAWAYS_MS = 30_000;
/** How long steps may take to end before instances are stopped all the same. */
const HALT_MS = 2_000;
/** How long servers may take to stop, gently and then less so, when the whole host shuts down. */
const STOP_MS = 5_000;

export class Host {
  readonly home: string;
  readonly state: HostState;
  readonly driver: InstanceDriver;
  readonly tenants: TenantKeeper;
  readonly ledger: Ledger;
  /** Numbers of reports and of what they tell. */
  readonly sequence: Sequence;
  readonly ends = new ServerEnds(() => this.sequence.next());
  readonly usage: Spool;
  readonly samples: Spool;
  readonly sampler: Sampler;
  readonly #resources: ResourceMeter;
  readonly intake: DesiredIntake;
  readonly reconciler: HostReconciler;
  readonly wakings: Wakings;
  readonly warm: WarmInstances;
  readonly hung: HungServers;
  readonly isolation: IsolationWatch;
  readonly fill: FillWatch;
  readonly locks: LockWatch;
  readonly #logger: Logger;
  readonly #signal: AbortSignal;
  readonly #checkMs: number;
  readonly #checking = new Set<InstanceId>();
  readonly #listeners: ((subject: Subject) => void)[] = [];
  readonly #usageListeners: (() => void)[] = [];
  readonly #sampleListeners: (() => void)[] = [];
  readonly #warmListeners: (() => void)[] = [];
  readonly #diskListeners: (() => void)[] = [];
  readonly #proofListeners: ((proofs: readonly KeptProof[]) => void)[] = [];

  constructor(options: HostOptions) {
    const { home, driver, logger, signal } = options;
    this.home = home;
    this.driver = driver;
    this.#logger = logger;
    this.#signal = signal;
    this.#checkMs = options.checkMs ?? CHECK_MS;
    this.ledger = new Ledger(join(home, "ledger.db"));
    this.state = new HostState(new KeptInstances(this.ledger));
    this.sequence = new Sequence(join(home, "sequence"));
    this.#resources = new ResourceMeter(this.state);
    this.tenants = options.tenants(this.state);
    // A new spool begins above all that an earlier one could have numbered.
    this.usage = new Spool(join(home, "usage.db"), { firstSequence: BigInt(now().getTime()) });
    this.samples = openSampleSpool(join(home, "samples.db"));
    this.sampler = new Sampler({
      ...{ home, state: this.state, driver, samples: this.samples, logger },
      login: options.meterLogin,
      took: (id, seconds, readings) => this.#resources.take(id, seconds, readings),
      sampled: () => {
        for (const listener of this.#sampleListeners) listener();
      },
    });
    const changed = (subject: Subject): void => {
      for (const listener of this.#listeners) listener(subject);
    };
    const { state, tenants, ledger, ends } = this;
    this.warm = new WarmInstances({
      file: join(home, "warm.json"),
      driver,
      isDesired: (id) => state.instance(id) !== undefined,
      prepare: (running) => this.#prepare(running),
      isBusy: () => this.reconciler.busy,
      hasRoom: options.hasRoom ?? roomInMemory(),
      changed: () => {
        for (const listener of this.#warmListeners) listener();
      },
      logger,
      signal,
    });
    this.isolation = new IsolationWatch({
      ...{ state, driver, tenants, logger },
      proven: (proofs) => {
        for (const listener of this.#proofListeners) listener(proofs);
      },
    });
    const vacant = (id: InstanceId): Promise<void> => this.warm.gone(id);
    const admit: ReconcilerPorts["admit"] = (running, tenant, returning) =>
      returning ? this.isolation.readmit(running, tenant) : this.isolation.admit(running, tenant);
    const healed: ReconcilerPorts["healed"] = (tenant, rules) => {
      void this.isolation.healed(tenant, rules);
    };
    const ports = { state, driver, tenants, admit, healed, ends, vacant, logger, changed, signal };
    this.reconciler = new HostReconciler(ports);
    const isCurrent = (running: RunningInstance) => state.isCurrent(running);
    const end = (running: RunningInstance, reason: string) => this.reconciler.end(running, reason);
    const isIdle = (running: RunningInstance) => this.sampler.isIdle(running.id);
    this.hung = new HungServers({ isCurrent, isIdle, end, signal }, options.hung);
    this.fill = this.#watchFill(options);
    this.locks = new LockWatch({ state, tenants, logger });
    const look = (subject: Subject): void => {
      const ready = subject.kind === "instance" ? this.warm.give(subject.id) : undefined;
      if (ready !== undefined) this.reconciler.takeOver(ready);
      this.reconciler.look(subject, { now: true });
    };
    this.intake = new DesiredIntake({ ledger, state, desired: look, logger });
    const suspect = (id: InstanceId) => void this.#suspect(id, { now: true });
    this.wakings = new Wakings({ state, look, suspect });
    this.onChange((subject) => this.wakings.changed(subject));
  }

  /** Calls back after every change of a subject's status. */
  onChange(listener: (subject: Subject) => void): void {
    this.#listeners.push(listener);
  }

  onUsage(listener: () => void): void {
    this.#usageListeners.push(listener);
  }

  onSamples(listener: () => void): void {
    this.#sampleListeners.push(listener);
  }

  /** Calls back whenever an instance that is kept ready comes or goes. */
  onWarm(listener: () => void): void {
    this.#warmListeners.push(listener);
  }

  /** Calls back whenever writes stop on the whole host because of its disk, and begin again. */
  onDisk(listener: () => void): void {
    this.#diskListeners.push(listener);
  }

  /** Calls back with proofs of tenants' isolation as they are made. */
  onProofs(listener: (proofs: readonly KeptProof[]) => void): void {
    this.#proofListeners.push(listener);
  }

  /** Takes over what is on the host and begins to work; needs control for nothing. */
  async start(): Promise<void> {
    await this.driver.recover(this.state.kept);
    await this.fill.checkHost();
    const found = await this.driver.list();
    await this.warm.start(found);
    const servers = new Map(found.map(({ id, running }) => [id, running]));
    await this.fill.checkVolumes((id) => servers.get(id));
    await this.reconciler.adopt(found.filter(({ id }) => !this.warm.holds(id)));
    await markListed(this);
    every(this.#checkMs, () => this.#checkDrift(), this.#signal);
    this.sampler.start(this.#signal);
    const tenantBytes = (id: InstanceId) => this.sampler.tenantBytes(id);
    const meter = new StorageMeter({ ...this, tenantBytes, logger: this.#logger });
    every(METER_MS, () => this.#measure(meter), this.#signal);
    every(DISK_MS, () => this.fill.checkHost(), this.#signal);
    every(VOLUMES_MS, () => this.fill.checkVolumes(), this.#signal);
    every(LOCKS_MS, () => this.locks.look(), this.#signal);
    every(RUNAWAYS_MS, () => this.#endRunaways(), this.#signal);
    every(METER_MS, () => this.fill.checkInstances(), this.#signal);
  }

  /** Stops every server that runs, cleanly if it can. Call after the signal was aborted. */
  async stopInstances(): Promise<void> {
    const idle = Promise.all([this.reconciler.idle(), this.warm.idle()]);
    const halted = within({ ms: HALT_MS, expecting: "steps to end" }, idle);
    await halted.catch((error: unknown) => this.#logger.warn(messageOf(error)));
    const found = await this.driver.list();
    const running = found.filter((instance) => instance.running !== undefined);
    const stops = running.map(({ id }) => this.driver.stop(id, "fast", STOP_MS));
    for (const stop of await Promise.allSettled(stops)) {
      if (stop.status === "rejected") this.#logger.warn({ err: stop.reason }, "could not stop");
    }
    await this.driver.release().catch((error: unknown) => this.#logger.warn(messageOf(error)));
  }

  close(): void {
    this.#keepUsage(this.#resources.read());
    this.ledger.close();
    this.usage.close();
    this.sampler.close();
    this.samples.close();
    this.tenants.close();
  }

  #watchFill({ home, driver, logger, hostDisk }: HostOptions): FillWatch {
    return new FillWatch({
      ...{ state: this.state, driver, logger },
      isIdle: (id) => this.sampler.isIdle(id),
      hostDisk: hostDisk ?? (() => readHostDisk(home, countOf(this.state))),
      look: (subject) => this.reconciler.look(subject),
      hostTurned: () => {
        for (const listener of this.#diskListeners) listener();
      },
    });
  }

  /** So that a tenant that gets the server finds it proven, with a session open. */
  async #prepare(running: RunningInstance): Promise<void> {
    void running.exited.then(() => this.tenants.leave(running));
    try {
      await this.isolation.prepare(running);
    } catch (error) {
      const because = messageOf(error);
      this.#logger.warn({ instance: running.id, because }, "could not prove a warm instance");
    }
  }

  /** Never rejects. */
  async #endRunaways(): Promise<void> {
    for (const { spec } of [...this.state.instances()]) {
      const running = spec.shared ? this.state.seen(spec.id)?.running : undefined;
      if (running === undefined) continue;
      try {
        for (const { tenantId: tenant, table } of await this.tenants.endRunaways(running)) {
          const found = { instance: spec.id, tenant, table };
          this.#logger.warn(
            found,
            "ended a worker that came to no end, and autovacuum of the table",
          );
        }
      } catch (error) {
        const because = messageOf(error);
        this.#logger.warn({ instance: spec.id, because }, "could not look for endless workers");
      }
    }
  }

  async #checkDrift(): Promise<void> {
    this.reconciler.lookAtDrift();
    for (const id of [...this.state.seenIds()]) {
      if (this.#signal.aborted) return;
      // Sessions that are open go on when the server takes no more: that is asked for itself.
      const asking = this.#suspect(id);
      // Of one that is not asked only files are read, and between two of them others have a turn.
      await (this.hung.isSuspected(id) ? Promise.race([asking, sleep(PACE_MS)]) : sleep(0));
      if (this.hung.isSuspected(id)) continue;
      await Promise.race([this.#checkInstance(id), sleep(ASKED_MS)]);
    }
  }

  /** Once at a time for each: what takes long is not begun again. Never rejects. */
  async #checkInstance(id: InstanceId): Promise<void> {
    if (this.#checking.has(id)) return;
    this.#checking.add(id);
    try {
      // What a proof finds is mended and told by its rule; the list finds what no rule asks.
      const wasProven = await this.isolation.check(id);
      const wasListed = await this.reconciler.checkDrift(id);
      if (wasListed || wasProven) this.sampler.visited(id);
    } catch (error) {
      this.#logger.warn({ instance: id, because: messageOf(error) }, "could not check for drift");
    } finally {
      this.#checking.delete(id);
    }
  }

  /** Resolves once it is clear whether a server that runs answers. Never rejects. */
  async #suspect(id: InstanceId, { now = false } = {}): Promise<void> {
    const running = this.state.seen(id)?.running;
    if (running === undefined) return;
    const asking = now ? this.hung.suspect(running) : this.hung.look(running);
    await asking.catch((error: unknown) => {
      this.#logger.warn({ instance: id, because: messageOf(error) }, "could not end a hung server");
    });
  }

  async #measure(storage: StorageMeter): Promise<void> {
    if (!this.#keepUsage([...(await storage.read()), ...this.#resources.read()])) return;
    for (const listener of this.#usageListeners) listener();
  }

  /** Puts events where they wait for control. False when there are none. */
  #keepUsage(events: readonly Uint8Array[]): boolean {
    if (events.length > 0) this.usage.append(events);
    return events.length > 0;
  }
}

/** How many instances should write here. */
function countOf(state: HostState): number {
  return [...state.instances()].filter(({ present }) => present).length;
}
