import { Fault, type InstanceId, type TenantId } from "@aerodb/model";
import type {
  AskedTenant,
  ChangeRefusal,
  HeldLocks,
  ListedTenant,
  Runaway,
  SharedTableChange,
  TenantProof,
  TenantRole,
} from "@aerodb/postgres";
import { type AppliedSpec, appliedAtStart, type InstanceSpec } from "../instance-spec.ts";
import type { TenantKeeper } from "../tenant-keeper.ts";
import {
  type FoundInstance,
  type InstanceDriver,
  type InstanceRecords,
  type LogPart,
  type ResourceUsage,
  type RunningInstance,
  type Survey,
  UNKNOWN_USAGE,
} from "./driver.ts";

/** A change of shared tables that no instance takes. */
export const WRONG_SQL = "wrong";

interface FakeInstance {
  readonly tenants: Map<TenantId, ListedTenant>;
  running: RunningInstance | undefined;
  exit: () => void;
  /** What is written for the server to read, and what it had read when it was started. */
  configured: InstanceSpec | undefined;
  startedWith: InstanceSpec | undefined;
  applied: AppliedSpec | undefined;
  newestChange: number;
  /** How often somebody was inside to see what there is. */
  visits: number;
}

/**
 * A host in memory that outlives agents. It refuses to be overfilled and to do what makes no sense,
 * as a real one would, and can die before or after any step.
 */
export class FakeHost implements InstanceDriver, TenantKeeper {
  readonly name = "fake";
  readonly #instances = new Map<InstanceId, FakeInstance>();
  readonly #room: number;
  #stepsLeft = Number.POSITIVE_INFINITY;
  #pids = 1_000;

  constructor(setup: { readonly room: number }) {
    this.#room = setup.room;
  }

  /** What there is: each instance, whether it runs, and its tenants. */
  get contents(): Record<string, { readonly runs: boolean; readonly tenants: readonly string[] }> {
    const entries = [...this.#instances].map(
      ([id, { running, tenants }]) =>
        [id, { runs: running !== undefined, tenants: [...tenants.keys()].toSorted() }] as const,
    );
    return Object.fromEntries(entries.toSorted());
  }

  /** After this many more half steps everything throws, as if the agent had been killed. */
  dieAfter(halfSteps: number): void {
    this.#stepsLeft = halfSteps;
  }

  /** A server is killed from outside. */
  kill(id: InstanceId): void {
    this.#instances.get(id)?.exit();
  }

  /** Somebody inside changes what the platform made. */
  tamper(id: InstanceId, tenantId: TenantId, change: Partial<ListedTenant>): void {
    const tenants = this.#instances.get(id)?.tenants;
    const tenant = tenants?.get(tenantId);
    if (tenant !== undefined) tenants?.set(tenantId, { ...tenant, ...change });
  }

  /** How often an instance was listed from inside. */
  visitsTo(id: InstanceId): number {
    return this.#instances.get(id)?.visits ?? 0;
  }

  async recover(): Promise<void> {}

  async prepare(): Promise<void> {}

  async list(): Promise<readonly FoundInstance[]>;
  async list(instance: RunningInstance): Promise<readonly ListedTenant[]>;
  async list(
    instance?: RunningInstance,
  ): Promise<readonly FoundInstance[] | readonly ListedTenant[]> {
    if (instance !== undefined) {
      const serving = this.#serving(instance);
      serving.visits += 1;
      return [...serving.tenants.values()];
    }
    return [...this.#instances].map(([id, { running }]) => ({ id, running }));
  }

  async make(spec: InstanceSpec): Promise<void> {
    await this.#step(() => {
      if (this.#instances.has(spec.id)) return;
      if (this.#instances.size === this.#room) throw new Fault("UNAVAILABLE", "The host is full.");
      this.#instances.set(spec.id, {
        tenants: new Map(),
        running: undefined,
        exit: () => undefined,
        configured: undefined,
        startedWith: undefined,
        applied: undefined,
        newestChange: 0,
        visits: 0,
      });
    });
  }

  async start(spec: InstanceSpec): Promise<RunningInstance> {
    const instance = this.#instances.get(spec.id);
    if (instance === undefined) throw new Error(`bug: start of ${spec.id}, which is not there`);
    await this.#step(() => this.#run(spec, instance));
    if (instance.running === undefined) throw new Error("bug: a start that started nothing");
    return instance.running;
  }

  async stop(id: InstanceId): Promise<void> {
    await this.#step(() => this.#instances.get(id)?.exit());
  }

  async destroy(id: InstanceId): Promise<void> {
    await this.#step(() => {
      if (this.#instances.get(id)?.running) throw new Error(`bug: destroy of ${id}, which runs`);
      this.#instances.delete(id);
    });
  }

  setAside(id: InstanceId, _to: string): Promise<void> {
    return this.destroy(id);
  }

  readonly records: InstanceRecords = {
    configure: (spec) => this.#step(() => this.#change(spec.id, { configured: spec })),
    applied: async (id) => this.#instances.get(id)?.applied,
    note: (id, applied) => this.#step(() => this.#change(id, { applied })),
    writeMark: async (id) => JSON.stringify([...(this.#instances.get(id)?.tenants ?? [])]),
  };

  /** What a server was told, as it runs now. */
  inForce(id: InstanceId): InstanceSpec | undefined {
    return this.#instances.get(id)?.configured;
  }

  async resize(instance: RunningInstance): Promise<readonly string[]> {
    await this.#step(() => this.#serving(instance));
    return [];
  }

  /** As Postgres does, the fake keeps its number of connections until it is restarted. */
  async reload(instance: RunningInstance): Promise<readonly string[]> {
    const { configured, startedWith } = this.#serving(instance);
    const same = configured?.maxConnections === startedWith?.maxConnections;
    return same ? [] : ["max_connections"];
  }

  async giveWay(): Promise<undefined> {
    return undefined;
  }

  async usage(): Promise<ResourceUsage> {
    return UNKNOWN_USAGE;
  }

  async log(): Promise<LogPart> {
    return { text: "killed\n", cursor: "" };
  }

  async lastWords(_id: InstanceId, withinMs: number): Promise<string> {
    return withinMs > 0 ? "killed" : "";
  }

  async storageBytes(id: InstanceId): Promise<bigint | undefined> {
    return this.#instances.has(id) ? 8_000_000n : undefined;
  }

  async volumeFreeBytes(): Promise<number | undefined> {
    return undefined;
  }

  async releaseBallast(): Promise<number> {
    return 0;
  }

  async restoreBallast(): Promise<boolean> {
    return true;
  }

  async release(): Promise<void> {}

  async survey(): Promise<Survey> {
    const instances = [...this.#instances].map(([id, { running }]) => ({
      id,
      postmasterPid: running?.pid ?? 0,
    }));
    return { instances, strayProcesses: [], strayPaths: [] };
  }

  async ensure(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void> {
    const { tenantId, verifier, connectionLimit, extensions = [], writesRefused = false } = tenant;
    const writes = { writesRefused, earlierWriters: 0 };
    const there = { role: true, schema: true, granted: true, lacks: [], sessions: 0, settings: [] };
    await this.#step(() => {
      const canLogin = tenant.suspended !== true;
      const made = {
        tenantId,
        verifier,
        connectionLimit,
        extensions,
        canLogin,
        ...writes,
        ...there,
      };
      this.#serving(instance).tenants.set(tenantId, made);
    });
  }

  suspend(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void> {
    return this.ensure(instance, { ...tenant, suspended: true });
  }

  async prove(
    instance: RunningInstance,
    asked: readonly AskedTenant[],
  ): Promise<readonly TenantProof[]> {
    this.#serving(instance);
    const rules = [{ id: "role.present", checked: 1, held: 1, violations: [] }];
    return asked.map(({ tenantId }) => ({ tenantId, rules }));
  }

  async mendInstance(instance: RunningInstance, _broken: readonly string[]): Promise<void> {
    this.#serving(instance);
  }

  close(): void {}

  async heldLocks(): Promise<HeldLocks> {
    return { capacity: 100, readCapacity: 100, backends: [], blockers: [], intruders: [] };
  }

  async endRunaways(instance: RunningInstance): Promise<readonly Runaway[]> {
    this.#serving(instance);
    return [];
  }

  async cancelWrites(instance: RunningInstance): Promise<void> {
    this.#serving(instance);
  }

  mend(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void> {
    return this.ensure(instance, tenant);
  }

  async changeTables(
    instance: RunningInstance,
    changes: readonly SharedTableChange[],
  ): Promise<number> {
    await this.#step(() => {
      const serving = this.#serving(instance);
      for (const { number, sql } of changes.slice(serving.newestChange)) {
        if (sql === WRONG_SQL) throw new Fault("UNAVAILABLE", "The change cannot be applied.");
        if (number !== serving.newestChange + 1) throw new Error(`bug: change ${number} too soon`);
        serving.newestChange = number;
      }
    });
    return this.#serving(instance).newestChange;
  }

  async tryTables(
    instance: RunningInstance,
    { sql }: SharedTableChange,
  ): Promise<ChangeRefusal | undefined> {
    this.#serving(instance);
    if (sql !== WRONG_SQL) return undefined;
    return { sentence: "It is wrong.", sqlState: "42601", line: 1 };
  }

  /** The newest change of shared tables that an instance has. */
  newestChangeOf(id: InstanceId): number | undefined {
    return this.#instances.get(id)?.newestChange;
  }

  async drop(instance: RunningInstance, tenantId: TenantId): Promise<void> {
    await this.#step(() => this.#serving(instance).tenants.delete(tenantId));
  }

  async leave(): Promise<void> {}

  #run(spec: InstanceSpec, instance: FakeInstance): void {
    if (instance.running !== undefined) return;
    const { promise: exited, resolve } = Promise.withResolvers<void>();
    this.#pids += 1;
    instance.running = {
      id: spec.id,
      pid: this.#pids,
      socketDirectory: `/fake/${spec.id}`,
      engine: `${spec.engineMajor}.4`,
      systemIdentifier: BigInt(this.#pids),
      walls: [],
      exited,
    };
    instance.configured = spec;
    instance.startedWith = spec;
    instance.applied = appliedAtStart(spec);
    instance.exit = () => {
      instance.running = undefined;
      resolve();
    };
  }

  #change(id: InstanceId, change: Partial<FakeInstance>): void {
    const found = this.#instances.get(id);
    if (found !== undefined) Object.assign(found, change);
  }

  #serving(instance: RunningInstance): FakeInstance {
    const found = this.#instances.get(instance.id);
    if (found?.running === instance) return found;
    throw new Fault("UNAVAILABLE", `The instance ${instance.id} does not answer.`);
  }

  /** The agent may die before what it does takes effect, or before it learns that it did. */
  async #step(effect: () => unknown): Promise<void> {
    this.#spend();
    await Promise.resolve();
    effect();
    this.#spend();
  }

  #spend(): void {
    if (this.#stepsLeft === 0) throw new Error("the agent died");
    this.#stepsLeft -= 1;
  }
}
