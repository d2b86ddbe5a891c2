import type { InstanceId, TenantId } from "@aerodb/model";
import type { ListedTenant, SharedTableChange } from "@aerodb/postgres";
import type { Desired, DesiredInstance, DesiredTenant, Subject } from "./desired.ts";
import type { FoundInstance, RunningInstance } from "./drivers/driver.ts";
import type { AppliedSpec } from "./instance-spec.ts";
import type { KeptSet } from "./kept-instances.ts";
import type { SeenInstance } from "./reconcile-host.ts";

interface Seen {
  running: RunningInstance | undefined;
  tenants: Map<TenantId, ListedTenant> | undefined;
  applied: AppliedSpec | undefined;
  newestChange: number | undefined;
}

/**
 * What is desired of the host and what was last seen on it, in memory, indexed for one subject's
 * pass.
 */
export class HostState {
  readonly #instances = new Map<InstanceId, DesiredInstance>();
  readonly #tenants = new Map<TenantId, DesiredTenant>();
  readonly #tenantsByInstance = new Map<InstanceId, Set<TenantId>>();
  readonly #seen = new Map<InstanceId, Seen>();
  readonly #readOnly = new Map<InstanceId, string>();
  /** Instances that have served somebody: they are not made anew. */
  readonly kept: KeptSet;
  readonly #writesRefused = new Map<InstanceId, string>();
  #changes: readonly SharedTableChange[] = [];

  constructor(kept: KeptSet = new Set()) {
    this.kept = kept;
  }

  /** Takes in what is desired. Returns the subjects that it changes or names anew. */
  desire(desired: Desired): Subject[] {
    for (const instance of desired.instances) this.#instances.set(instance.spec.id, instance);
    for (const tenant of desired.tenants) this.#desireTenant(tenant);
    const changed = new Set([...desired.instances, ...this.#desireChanges(desired.changes ?? [])]);
    return [
      ...[...changed].map(({ spec }): Subject => ({ kind: "instance", id: spec.id })),
      ...desired.tenants.map(({ tenantId }): Subject => ({ kind: "tenant", id: tenantId })),
    ];
  }

  /** Drops what is desired of a subject, once it is gone and control knows. */
  forget(subject: Subject): void {
    if (subject.kind === "instance") {
      this.#instances.delete(subject.id);
      this.kept.delete(subject.id);
      this.#readOnly.delete(subject.id);
      this.#writesRefused.delete(subject.id);
      return;
    }
    const tenant = this.#tenants.get(subject.id);
    if (tenant === undefined) return;
    this.#tenants.delete(subject.id);
    const siblings = this.#tenantsByInstance.get(tenant.instanceId);
    siblings?.delete(subject.id);
    if (siblings?.size === 0) this.#tenantsByInstance.delete(tenant.instanceId);
  }

  /** What control wants of an instance, and what the host makes of it. */
  instance(id: InstanceId): DesiredInstance | undefined {
    const told = this.#instances.get(id);
    if (told === undefined) return undefined;
    const desired = { ...told, kept: this.kept.has(id) };
    const [readOnly, writesRefused] = [this.#readOnly.get(id), this.#writesRefused.get(id)];
    if ((readOnly ?? writesRefused) === undefined) return desired;
    const because = {
      ...(readOnly === undefined ? {} : { readOnly }),
      ...(writesRefused === undefined ? {} : { writesRefused }),
    };
    return { ...desired, spec: { ...told.spec, ...because } };
  }

  /** The instance has served somebody, or control knows its data: it is not made anew. */
  keep(id: InstanceId): void {
    this.kept.add(id);
  }

  /**
   * Has an instance begin its transactions read-only for a reason, or as usual when there is none.
   * Returns whether that is news.
   */
  setReadOnly(id: InstanceId, reason: string | undefined): boolean {
    return setReason(this.#readOnly, id, reason);
  }

  /** Has an instance refuse its tenants' writes for a reason; likewise. */
  setWritesRefused(id: InstanceId, reason: string | undefined): boolean {
    return setReason(this.#writesRefused, id, reason);
  }

  /** What control wants of a tenant, and what the room that is left makes of it. */
  tenant(id: TenantId): DesiredTenant | undefined {
    const desired = this.#tenants.get(id);
    if (desired === undefined || !this.#writesRefused.has(desired.instanceId)) return desired;
    return { ...desired, writesRefused: true };
  }

  /** Changes that every shared instance should have, in order. */
  get changes(): readonly SharedTableChange[] {
    return this.#changes;
  }

  *instances(): Iterable<DesiredInstance> {
    for (const id of this.#instances.keys()) {
      const desired = this.instance(id);
      if (desired !== undefined) yield desired;
    }
  }

  tenantsOf(id: InstanceId): Iterable<TenantId> {
    return this.#tenantsByInstance.get(id) ?? [];
  }

  /** Whether an instance holds a tenant that should have no session. */
  holdsSuspended(id: InstanceId): boolean {
    return [...this.tenantsOf(id)].some((tenantId) => this.#tenants.get(tenantId)?.suspended);
  }

  *subjects(): Iterable<Subject> {
    for (const id of this.#instances.keys()) yield { kind: "instance", id };
    for (const id of this.#tenants.keys()) yield { kind: "tenant", id };
  }

  seen(id: InstanceId): SeenInstance | undefined {
    return this.#seen.get(id);
  }

  seenIds(): Iterable<InstanceId> {
    return this.#seen.keys();
  }

  /** An instance that was found on the host, its tenants not yet listed. */
  find({ id, running }: FoundInstance, applied?: AppliedSpec): void {
    this.keep(id);
    this.#seen.set(id, { running, tenants: undefined, applied, newestChange: undefined });
  }

  /** The server is up. `fresh`: it was only just made, so that it holds no tenant. */
  started(running: RunningInstance, fresh: boolean, applied?: AppliedSpec): void {
    this.keep(running.id);
    const tenants = fresh ? new Map() : undefined;
    this.#seen.set(running.id, { running, tenants, applied, newestChange: undefined });
  }

  /** The server was brought to something else. */
  resized(instance: RunningInstance, applied: AppliedSpec): void {
    const seen = this.#current(instance);
    if (seen !== undefined) seen.applied = applied;
  }

  /** The server has all changes of shared tables up to one. */
  tablesChanged(instance: RunningInstance, newestChange: number): void {
    const seen = this.#current(instance);
    if (seen !== undefined) seen.newestChange = newestChange;
  }

  stopped(id: InstanceId): void {
    const nothing = { running: undefined, tenants: undefined, applied: undefined };
    this.#seen.set(id, { ...nothing, newestChange: undefined });
  }

  destroyed(id: InstanceId): void {
    this.kept.delete(id);
    this.#seen.delete(id);
  }

  /** What a running instance holds. Ignored when the server that was asked is no longer it. */
  listed(instance: RunningInstance, tenants: readonly ListedTenant[]): void {
    const seen = this.#current(instance);
    if (seen !== undefined) seen.tenants = new Map(tenants.map((each) => [each.tenantId, each]));
  }

  ensured(instance: RunningInstance, tenant: DesiredTenant): void {
    const tenants = this.#current(instance)?.tenants;
    tenants?.set(tenant.tenantId, {
      tenantId: tenant.tenantId,
      role: true,
      schema: true,
      granted: true,
      lacks: [],
      canLogin: !tenant.suspended,
      sessions: 0,
      verifier: tenant.verifier,
      connectionLimit: tenant.connectionLimit,
      writesRefused: tenant.writesRefused,
      earlierWriters: 0,
      settings: [],
      extensions: tenant.extensions,
    });
  }

  dropped(instance: RunningInstance, tenantId: TenantId): void {
    this.#current(instance)?.tenants?.delete(tenantId);
  }

  /** Whether this server is the one that is seen as running. */
  isCurrent(instance: RunningInstance): boolean {
    return this.#current(instance) !== undefined;
  }

  #current(instance: RunningInstance): Seen | undefined {
    const seen = this.#seen.get(instance.id);
    return seen?.running === instance ? seen : undefined;
  }

  /** Returns the instances that should have them. */
  #desireChanges(changes: readonly SharedTableChange[]): readonly DesiredInstance[] {
    if (changes.length === 0) return [];
    const byNumber = new Map([...this.#changes, ...changes].map((each) => [each.number, each]));
    this.#changes = [...byNumber.values()].toSorted((a, b) => a.number - b.number);
    return [...this.#instances.values()].filter(({ spec }) => spec.shared);
  }

  #desireTenant(tenant: DesiredTenant): void {
    const before = this.#tenants.get(tenant.tenantId);
    if (before !== undefined && before.instanceId !== tenant.instanceId) {
      this.#tenantsByInstance.get(before.instanceId)?.delete(tenant.tenantId);
    }
    this.#tenants.set(tenant.tenantId, tenant);
    const siblings = this.#tenantsByInstance.get(tenant.instanceId) ?? new Set();
    siblings.add(tenant.tenantId);
    this.#tenantsByInstance.set(tenant.instanceId, siblings);
  }
}

/** Returns whether that is news. */
function setReason(
  reasons: Map<InstanceId, string>,
  id: InstanceId,
  reason: string | undefined,
): boolean {
  const before = reasons.get(id);
  if (reason === undefined) reasons.delete(id);
  else reasons.set(id, reason);
  return before !== reason;
}
