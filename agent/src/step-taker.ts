/** Does what `reconcile-host.ts` decided, and notes in the state what came of it. */

import { Fault, type InstanceId } from "@aerodb/model";
import { acceptSettings } from "@aerodb/postgres";
import { failpoint, type Logger, monotonicMs } from "@aerodb/runtime";
import type { DesiredTenant } from "./desired.ts";
import type { InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";
import { appliedAtStart, heldSpec, type InstanceSpec } from "./instance-spec.ts";
import type { InstanceStep, Step, TenantStep } from "./reconcile-host.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

export interface StepPorts {
  readonly state: HostState;
  readonly driver: InstanceDriver;
  readonly tenants: TenantKeeper;
  readonly logger: Logger;
  /**
   * Proves a tenant that was made, before it is ready; nobody does when left out. `returning`: one
   * that was there before, whatever is to be said of its walls.
   */
  readonly admit?: (
    running: RunningInstance,
    tenant: DesiredTenant,
    returning: boolean,
  ) => Promise<void>;
  /** Resolves once nothing is being removed under an id that an instance is to be made under. */
  readonly vacant: (id: InstanceId) => Promise<void>;
  /** Told of every server that was started. */
  readonly started: (running: RunningInstance) => void;
  /** Told of a server that had to end for one of its tenants: it is to be started again. */
  readonly interrupted: (id: InstanceId) => void;
  readonly signal: AbortSignal;
}

export class StepTaker {
  readonly #ports: StepPorts;
  /** Instances made by this process and not started yet: they hold no tenant. */
  readonly #fresh = new Set<InstanceId>();

  constructor(ports: StepPorts) {
    this.#ports = ports;
  }

  async take(step: Step): Promise<void> {
    const startedMs = monotonicMs();
    await this.#take(step);
    const tookMs = Math.round(monotonicMs() - startedMs);
    this.#ports.logger.debug({ step: step.kind, subject: subjectOf(step), tookMs }, "took a step");
  }

  async #take(step: Step): Promise<void> {
    const { driver, state, tenants, signal } = this.#ports;
    switch (step.kind) {
      case "make_instance":
        await this.#ports.vacant(step.spec.id);
        await driver.make(step.spec, signal);
        this.#fresh.add(step.spec.id);
        return state.stopped(step.spec.id);
      case "start_instance":
        return this.#start(step.spec);
      case "list_tenants":
        return state.listed(step.instance, await tenants.list(step.instance));
      case "resize_instance":
        return this.#resize(step);
      case "change_tables":
        return this.#changeTables(step);
      case "stop_instance":
        await tenants.leave(step.instance);
        await driver.stop(step.instance.id, step.restarts ? "smart" : "fast");
        return state.stopped(step.instance.id);
      case "destroy_instance":
        this.#fresh.delete(step.id);
        await driver.destroy(step.id);
        return state.destroyed(step.id);
      case "ensure_tenant":
      case "suspend_tenant":
      case "drop_tenant":
        return this.#takeTenantStep(step);
    }
  }

  async #start(spec: InstanceSpec): Promise<void> {
    const { driver, state, signal } = this.#ports;
    this.#sayRefused(spec);
    const running = await driver.start(spec, signal);
    // A server that an earlier agent started may have been started with something else.
    const applied = await driver.records.applied(spec.id);
    state.started(running, this.#fresh.delete(spec.id), applied);
    this.#ports.started(running);
  }

  /**
   * Noted last: an agent that dies on the way does all of it again. What the server was started for
   * stays what it was.
   */
  async #resize(step: Extract<InstanceStep, { readonly kind: "resize_instance" }>): Promise<void> {
    const { driver, state, tenants } = this.#ports;
    const { instance, spec } = step;
    await failpoint("agent.instance.resize");
    this.#sayRefused(spec);
    await driver.records.configure(spec);
    await failpoint("agent.instance.configured");
    // A limit that cannot be had keeps no setting from being in force.
    const held = heldSpec(spec, step.applied);
    const [limited] = await Promise.allSettled([driver.resize(instance, held)]);
    await failpoint("agent.instance.limited");
    const settings = await tenants.reload(instance);
    await failpoint("agent.instance.reloaded");
    if (spec.readOnly !== undefined) await tenants.cancelWrites(instance);
    if (limited.status === "rejected") throw limited.reason;
    const memory = held.memoryMiB > spec.memoryMiB ? ["memory"] : [];
    const applied = {
      ...appliedAtStart(spec),
      ...(step.applied === undefined ? {} : { startedWith: step.applied.startedWith }),
      startedFor: step.applied?.startedFor ?? 0n,
      pendingRestart: [...new Set([...memory, ...limited.value, ...settings])].toSorted(),
    };
    await driver.records.note(spec.id, applied);
    await failpoint("agent.instance.noted");
    state.resized(instance, applied);
  }

  async #changeTables({
    instance,
    changes,
  }: Extract<InstanceStep, { readonly kind: "change_tables" }>): Promise<void> {
    const { state, tenants } = this.#ports;
    await failpoint("agent.shared_tables.change");
    const newest = await tenants.changeTables(instance, changes);
    await failpoint("agent.shared_tables.changed");
    state.tablesChanged(instance, newest);
  }

  /** Control refuses them first: one that comes through is left out, and the instance served. */
  #sayRefused(spec: InstanceSpec): void {
    for (const { name, sentence } of acceptSettings(spec.settings, spec).refused) {
      this.#ports.logger.warn({ instance: spec.id, setting: name, because: sentence }, "left out");
    }
  }

  async #takeTenantStep(step: TenantStep): Promise<void> {
    const { state, tenants } = this.#ports;
    if (step.kind === "drop_tenant") {
      await failpoint("agent.tenant.drop");
      await tenants.drop(step.instance, step.tenantId);
      await failpoint("agent.tenant.dropped");
      return state.dropped(step.instance, step.tenantId);
    }
    const { tenantId, verifier, connectionLimit, extensions, writesRefused } = step.tenant;
    const role = {
      ...{ tenantId, verifier, connectionLimit, extensions, writesRefused },
      dedicated: step.dedicated,
    };
    if (step.kind === "suspend_tenant") {
      await failpoint("agent.tenant.suspend");
      if (!(await this.#suspend(step, role))) return;
      await failpoint("agent.tenant.suspended");
    } else {
      await failpoint("agent.tenant.ensure");
      const { role: hasRole, schema } = state.seen(step.instance.id)?.tenants?.get(tenantId) ?? {};
      await tenants.ensure(step.instance, role);
      await failpoint("agent.tenant.ensured");
      await this.#ports.admit?.(step.instance, step.tenant, hasRole === true && schema === true);
    }
    state.ensured(step.instance, step.tenant);
  }

  /**
   * False when its sessions did not end, for there are statements that Postgres does not interrupt:
   * a server that is its alone was ended with them, and is started again.
   */
  async #suspend(
    { instance, dedicated }: TenantStep & { readonly dedicated: boolean },
    role: Parameters<TenantKeeper["suspend"]>[1],
  ): Promise<boolean> {
    const { state, driver, tenants, logger, interrupted } = this.#ports;
    try {
      await tenants.suspend(instance, role);
      return true;
    } catch (error) {
      const stubborn = error instanceof Fault && error.code === "OPERATION_TIMED_OUT";
      if (!dedicated || !stubborn) throw error;
      logger.warn({ instance: instance.id }, "ends a server whose sessions do not end");
      await tenants.leave(instance);
      await driver.stop(instance.id, "immediate");
      // Whoever watches it may have seen its end before, and started it again by now.
      if (state.isCurrent(instance)) state.stopped(instance.id);
      interrupted(instance.id);
      return false;
    }
  }
}

function subjectOf(step: Step): string {
  switch (step.kind) {
    case "make_instance":
    case "start_instance":
      return step.spec.id;
    case "list_tenants":
    case "resize_instance":
    case "change_tables":
    case "stop_instance":
      return step.instance.id;
    case "destroy_instance":
      return step.id;
    case "ensure_tenant":
    case "suspend_tenant":
      return step.tenant.tenantId;
    case "drop_tenant":
      return step.tenantId;
  }
}
