/**
 * Brings the host in line with what is desired, one lane per subject: lanes never wait for each
 * other, and a step that fails is tried again with growing pauses in its own lane only. A lane is
 * told no more than to look; what it does follows from `reconcile-host.ts`.
 */
import { Fault, type InstanceId, messageOf } from "@aerodb/model";
import { after, backoffMs, type Logger, monotonicMs } from "@aerodb/runtime";
import type { DesiredInstance, DesiredTenant, Subject } from "./desired.ts";
import { DriftNotes } from "./drift-notes.ts";
import type { FoundInstance, InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import { Gate } from "./gate.ts";
import type { HostState } from "./host-state.ts";
import { nextInstanceStep, nextTenantStep, type Step } from "./reconcile-host.ts";
import type { ServerEnds } from "./server-ends.ts";
import {
  type InstanceStatus,
  instanceStatus,
  type Progress,
  type TenantStatus,
  tenantStatus,
} from "./status.ts";
import { type StepPorts, StepTaker } from "./step-taker.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";
import type { WarmInstance } from "./warm-instances.ts";

export interface ReconcilerPorts {
  readonly state: HostState;
  readonly driver: InstanceDriver;
  readonly tenants: TenantKeeper;
  readonly logger: Logger;
  /** Proves a tenant that was made, before it is ready; nobody does when left out. */
  readonly admit?: NonNullable<StepPorts["admit"]>;
  /** Resolves once nothing is being removed under an id that an instance is to be made under. */
  readonly vacant: (id: InstanceId) => Promise<void>;
  /** Where ends that nobody ordered are noted. */
  readonly ends: ServerEnds;
  /** Told what of a tenant was found changed, and made again what it should be. */
  readonly healed?: (tenant: DesiredTenant, rules: readonly string[]) => void;
  /** Told after every change of a subject's status. */
  readonly changed: (subject: Subject) => void;
  readonly signal: AbortSignal;
}

interface Lane {
  readonly subject: Subject;
  /** Whether a step was taken since the lane last settled. */
  acted: boolean;
  /** Whether somebody asked to look since the lane last looked. */
  asked: boolean;
  /** Whether something became different since then, so that what fails meanwhile says nothing. */
  hurried: boolean;
  driving: boolean;
  step: Step["kind"] | undefined;
  failures: number;
  failure: string | undefined;
  /** Whether its server was ended because it served nobody, and none came up since. */
  ended: boolean;
  /** Ends the pause after a failure; undefined when the lane does not pause. */
  cancelPause: (() => void) | undefined;
}

const BACKOFF = { firstMs: 100, maxMs: 30_000 };
/**
 * How many instances are made at once, and how many are started, stopped or destroyed: apart, so
 * that of many that are wanted at once the first serve soon, and do not wait until the last is
 * made.
 */
const MADE_AT_ONCE = 2;
const STARTED_AT_ONCE = 4;
/** What serves nobody is given no long time to end. */
const END_DEADLINE_MS = 10_000;
/**
 * What was written tells by a time, and two writes may have the same. A checkpoint follows on the
 * last within the hour, mostly much sooner, and has a time of its own.
 */
const LIST_AT_LEAST_MS = 60 * 60_000;
/** How many instances are listed at once. */
const LISTINGS_AT_ONCE = 2;

export class HostReconciler {
  readonly #ports: ReconcilerPorts;
  readonly #taker: StepTaker;
  readonly #lanes = new Map<string, Lane>();
  readonly #driving = new Set<Promise<void>>();
  readonly #upSince = new WeakMap<RunningInstance, number>();
  /** When the tenants of a server were last listed, and what was written by then. */
  readonly #listings = new WeakMap<
    RunningInstance,
    { readonly mark: string; readonly atMs: number }
  >();
  readonly #drifted = new DriftNotes();
  readonly #makingGate = new Gate(MADE_AT_ONCE);
  readonly #startingGate = new Gate(STARTED_AT_ONCE);
  readonly #listingGate = new Gate(LISTINGS_AT_ONCE);

  constructor(ports: ReconcilerPorts) {
    this.#ports = ports;
    this.#taker = new StepTaker({
      ...ports,
      started: (running) => this.#watch(running),
      interrupted: (id) => this.look({ kind: "instance", id }),
    });
    const endPauses = (): void => {
      for (const lane of this.#lanes.values()) lane.cancelPause?.();
    };
    ports.signal.addEventListener("abort", endPauses, { once: true });
  }

  /**
   * Takes over what was found on the host, then looks at everything. Call once, before all else.
   */
  async adopt(all: readonly FoundInstance[]): Promise<void> {
    const { driver, state } = this.#ports;
    for (const found of all) {
      const applied = found.running && (await driver.records.applied(found.id));
      state.find(found, applied);
      if (found.running !== undefined) this.#watch(found.running);
    }
    // After a restart of the machine all are to be started at once: the most important begin.
    const subjects = [...state.subjects()];
    for (const subject of subjects.toSorted(
      (a, b) => this.#importanceOf(b) - this.#importanceOf(a),
    )) {
      this.look(subject);
    }
  }

  /** Takes over a server that was made and started ahead and holds no tenant yet. */
  takeOver({ running, applied }: WarmInstance): void {
    this.#ports.state.started(running, true, applied);
    this.#watch(running);
  }

  /** Whether an instance that somebody waits for is being made, started, furnished or stopped. */
  get busy(): boolean {
    const lanes = [...this.#lanes.values()];
    return lanes.some(({ subject, step }) => step !== undefined && this.#isOfInstance(subject));
  }

  /** Whether it is an instance or what is alone in one; in shared ones there is always somebody. */
  #isOfInstance(subject: Subject): boolean {
    if (subject.kind === "instance") return true;
    const instanceId = this.#ports.state.tenant(subject.id)?.instanceId;
    const instance = instanceId && this.#ports.state.instance(instanceId);
    return instance?.spec.shared === false;
  }

  /** Looks at every subject that is not as it should be, whether or not somebody said so. */
  lookAtDrift(): void {
    for (const subject of this.#ports.state.subjects()) {
      if (this.#nextStep(subject) !== undefined) this.look(subject);
    }
  }

  /** Looks at a subject soon. A pause after a failure is kept, unless `now` is given. */
  look(subject: Subject, options: { readonly now?: boolean } = {}): void {
    const lane = this.#laneOf(subject);
    lane.asked = true;
    if (options.now) {
      lane.hurried = true;
      this.#endPause(lane);
    }
    if (lane.driving || lane.cancelPause !== undefined || this.#ports.signal.aborted) return;
    const drive = this.#drive(lane);
    this.#driving.add(drive);
    void drive.finally(() => this.#driving.delete(drive));
  }

  /**
   * Lists the tenants of a running instance again and looks at those that drifted. A server in
   * which nothing was written since is not asked: what is idle stays idle. But a session writes
   * nothing, so one that holds a suspended tenant is asked all the same. Returns whether it was.
   */
  async checkDrift(id: InstanceId): Promise<boolean> {
    const { state, driver, tenants } = this.#ports;
    const running = state.seen(id)?.running;
    if (running === undefined || state.seen(id)?.tenants === undefined) return false;
    const listing = { mark: await driver.records.writeMark(id), atMs: monotonicMs() };
    const before = this.#listings.get(running);
    const isNew = before === undefined || listing.atMs - before.atMs >= LIST_AT_LEAST_MS;
    if (!isNew && listing.mark === before.mark && !state.holdsSuspended(id)) return false;
    const asBefore = new Set(
      [...state.tenantsOf(id)].filter((each) => !this.#nextStep({ kind: "tenant", id: each })),
    );
    state.listed(running, await this.#listingGate.pass(() => tenants.list(running)));
    this.#listings.set(running, listing);
    for (const tenantId of asBefore) this.#drifted.note(state, tenantId);
    for (const tenantId of state.tenantsOf(id)) {
      const subject: Subject = { kind: "tenant", id: tenantId };
      if (this.#nextStep(subject) !== undefined) this.look(subject);
    }
    return true;
  }

  /**
   * Ends a server that serves nobody any more; it is started again like any that ended by itself.
   */
  async end(running: RunningInstance, reason: string): Promise<void> {
    const { driver, state, logger, changed } = this.#ports;
    if (!state.isCurrent(running)) return;
    const subject: Subject = { kind: "instance", id: running.id };
    logger.warn({ instance: running.id, reason }, "ends a server");
    const lane = this.#laneOf(subject);
    lane.failure = reason;
    lane.ended = true;
    changed(subject);
    await driver.stop(running.id, "immediate", END_DEADLINE_MS);
  }

  instanceStatus(desired: DesiredInstance): InstanceStatus | undefined {
    const { id } = desired.spec;
    const progress = this.#progressOf({ kind: "instance", id });
    return instanceStatus(desired, this.#ports.state.seen(id), progress);
  }

  tenantStatus(desired: DesiredTenant): TenantStatus | undefined {
    const progress = this.#progressOf({ kind: "tenant", id: desired.tenantId });
    return tenantStatus(desired, this.#ports.state.seen(desired.instanceId), progress);
  }

  /** Resolves once no lane takes a step any more. Lanes that pause count as idle. */
  async idle(): Promise<void> {
    while (this.#driving.size > 0) await Promise.all(this.#driving);
  }

  async #drive(lane: Lane): Promise<void> {
    const { signal } = this.#ports;
    lane.driving = true;
    while (lane.asked && lane.cancelPause === undefined && !signal.aborted) {
      lane.asked = false;
      lane.hurried = false;
      const step = this.#nextStep(lane.subject);
      if (step !== undefined) await this.#takeStep(lane, step);
      else if (!lane.asked) this.#settle(lane);
    }
    lane.driving = false;
  }

  /** Nothing is left to do, but to hear of an end: says so, and lets those look that waited. */
  #settle(lane: Lane): void {
    const { subject } = lane;
    if (!lane.ended) this.#lanes.delete(keyOf(subject));
    this.#ports.changed(subject);
    if (subject.kind !== "instance" || !lane.acted) return;
    for (const id of this.#ports.state.tenantsOf(subject.id)) this.look({ kind: "tenant", id });
  }

  async #takeStep(lane: Lane, step: Step): Promise<void> {
    lane.step = step.kind;
    lane.acted = true;
    if (step.kind === "make_instance") this.#ports.changed(lane.subject);
    try {
      await this.#gated(step, lane.subject);
      lane.failures = 0;
      lane.failure = undefined;
      lane.ended = false;
      lane.asked = true;
      const drift = this.#drifted.take(step);
      if (drift !== undefined) this.#ports.healed?.(drift.tenant, drift.rules);
    } catch (error) {
      if (!this.#ports.signal.aborted) this.#failed(lane, step, error);
    } finally {
      lane.step = undefined;
    }
  }

  #gated(step: Step, subject: Subject): Promise<void> {
    const take = (): Promise<void> => this.#taker.take(step);
    const importance = this.#importanceOf(subject);
    switch (step.kind) {
      case "list_tenants":
        return this.#listingGate.pass(take, importance);
      case "make_instance":
        return this.#makingGate.pass(take, importance);
      case "start_instance":
      case "resize_instance":
      case "destroy_instance":
        return this.#startingGate.pass(take, importance);
      case "stop_instance":
        // Whoever waits for sessions to leave keeps nobody from starting.
        return step.restarts ? take() : this.#startingGate.pass(take, importance);
      case "change_tables":
      case "ensure_tenant":
      case "suspend_tenant":
      case "drop_tenant":
        return take(); // The connections of the instance are the gate.
    }
  }

  /** Higher is sooner, where more is to be done than can be at once. */
  #importanceOf(subject: Subject): number {
    if (subject.kind === "tenant") return 0;
    return this.#ports.state.instance(subject.id)?.spec.importance ?? 0;
  }

  #failed(lane: Lane, step: Step, error: unknown): void {
    // What failed may be needed no more: its instance went down, or desired changed meanwhile.
    if (lane.hurried || this.#nextStep(lane.subject)?.kind !== step.kind) {
      lane.asked = true;
      return;
    }
    const { logger } = this.#ports;
    const said = error instanceof Fault ? { because: messageOf(error) } : { err: error };
    logger.warn({ subject: lane.subject.id, step: step.kind, ...said }, "a step failed");
    lane.failures += 1;
    this.#pause(lane, { failures: lane.failures, reason: messageOf(error) });
  }

  #pause(lane: Lane, why: { readonly failures: number; readonly reason: string }): void {
    lane.failure = why.reason;
    lane.cancelPause = after(backoffMs(why.failures, BACKOFF), () => {
      lane.cancelPause = undefined;
      this.look(lane.subject);
    });
    this.#ports.changed(lane.subject);
  }

  #endPause(lane: Lane): void {
    lane.cancelPause?.();
    lane.cancelPause = undefined;
  }

  #nextStep(subject: Subject): Step | undefined {
    const { state } = this.#ports;
    if (subject.kind === "instance") {
      const desired = state.instance(subject.id);
      return desired && nextInstanceStep(desired, state.seen(subject.id), state.changes);
    }
    const desired = state.tenant(subject.id);
    if (desired === undefined) return undefined;
    const { instanceId } = desired;
    const [instance, seen] = [state.instance(instanceId), state.seen(instanceId)];
    return nextTenantStep(desired, { instance, seen, changes: state.changes });
  }

  /** Notices when a server ends, and starts it again if it should run. */
  #watch(running: RunningInstance): void {
    this.#upSince.set(running, monotonicMs());
    void running.exited.then(() => this.#exited(running));
  }

  async #exited(running: RunningInstance): Promise<void> {
    const { state, driver, tenants, logger, signal } = this.#ports;
    if (signal.aborted || !state.isCurrent(running)) return;
    const { id } = running;
    const subject: Subject = { kind: "instance", id };
    const lane = this.#laneOf(subject);
    state.stopped(id);
    await tenants.leave(running);
    if (lane.step === "stop_instance") return;
    if (this.#endsForSuspended(id)) return this.look(subject);

    const livedMs = Math.ceil(monotonicMs() - (this.#upSince.get(running) ?? 0));
    const words = await driver.lastWords(id, livedMs).catch(() => "");
    logger.warn({ instance: id, livedMs, words }, "a server ended by itself");
    const because = lane.ended ? lane.failure : undefined;
    const { crashes, reason } = this.#ports.ends.note(id, { because, words, livedMs });
    // The first time it is started at once: somebody waits for it.
    if (crashes > 1 && !lane.driving && lane.cancelPause === undefined) {
      this.#pause(lane, { failures: crashes - 1, reason });
    }
    this.look(subject);
  }

  /** Whether an instance of one tenant may have been ended with the sessions of that tenant. */
  #endsForSuspended(id: InstanceId): boolean {
    const { state } = this.#ports;
    const isSuspending = (tenant: string) => this.#lanes.get(tenant)?.step === "suspend_tenant";
    return state.instance(id)?.spec.shared === false && [...state.tenantsOf(id)].some(isSuspending);
  }

  #laneOf(subject: Subject): Lane {
    const key = keyOf(subject);
    const lane = this.#lanes.get(key) ?? {
      subject,
      acted: false,
      asked: false,
      hurried: false,
      driving: false,
      step: undefined,
      failures: 0,
      failure: undefined,
      ended: false,
      cancelPause: undefined,
    };
    this.#lanes.set(key, lane);
    return lane;
  }

  #progressOf(subject: Subject): Progress {
    const lane = this.#lanes.get(keyOf(subject));
    const { step, failure, ended = false } = lane ?? {};
    return { busy: step !== undefined, failure, ended };
  }
}

function keyOf(subject: Subject): string {
  return subject.id; // The prefix of an id tells the kind.
}
