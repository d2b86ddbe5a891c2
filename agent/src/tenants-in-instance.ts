import { Fault, type InstanceId, messageOf, type TenantId } from "@aerodb/model";
import {
  type AskedTenant,
  applySharedTables,
  backendPidOf,
  type ChangeRefusal,
  cancelWrites,
  dropGroupHoldings,
  dropTenant,
  endRunaways,
  ensureTenant,
  ensureWalls,
  type HeldLocks,
  type ListedTenant,
  listHeldLocks,
  listTenants,
  mendPlatform,
  mendSharedTables,
  mendTenant,
  type ProofManner,
  poolLogin,
  proveIsolation,
  type Runaway,
  reloadConfiguration,
  type SharedTableChange,
  suspendTenant,
  type TenantProof,
  type TenantRole,
  takeBack,
  takeBackFromGroups,
  trySharedTables,
} from "@aerodb/postgres";
import type { Logger } from "@aerodb/runtime";
import { backendsOf } from "./backend-processes.ts";
import { ConnectionPool, type Session } from "./connection-pool.ts";
import type { InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import { limitMemory } from "./limits/process-limits.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

/** Sessions at once in one instance: tenants are made this many at a time. */
const WIDTH = 4;
/** After that a server that is one tenant's alone can be ended with its sessions. */
const DEDICATED_PATIENCE_MS = 1_000;
/** Policies do not bind the owners of tables, who could not COPY into them or dump them then. */
const FORCED = false;

interface OpenPool {
  readonly instance: RunningInstance;
  readonly pool: ConnectionPool;
  /** One session that nobody else takes: when all locks are held, no other can be had. */
  readonly watch: ConnectionPool;
  /** Settled once its walls stand, those of one of many tenants or not; undefined before. */
  walls: { readonly shared: boolean; readonly raised: Promise<void> } | undefined;
}

export interface TenantsOptions {
  readonly password: string;
  /** How many sessions stay open in an instance while there is nothing to do. */
  readonly keep: (id: InstanceId) => number;
  /** Whether an instance is one of many tenants, which walls keep apart. */
  readonly isShared: (id: InstanceId) => boolean;
  /** What a session of ours may have of memory where sessions of tenants may have less. */
  readonly memoryOf?: (id: InstanceId) => number | undefined;
  /** How a session of ours, `pid` as the host counts, gives way to those of tenants. */
  readonly giveWay?: InstanceDriver["giveWay"];
  readonly logger: Logger;
}

/**
 * Makes and drops tenants over a few open sessions per running instance. The walls stand before
 * anybody is listed or made.
 */
export class TenantsInInstances implements TenantKeeper {
  readonly #options: TenantsOptions;
  readonly #pools = new Map<InstanceId, OpenPool>();
  /** Servers in which nobody is to open a session again: they stop, or are gone. */
  readonly #left = new WeakSet<RunningInstance>();

  constructor(options: TenantsOptions) {
    this.#options = options;
  }

  async list(instance: RunningInstance): Promise<readonly ListedTenant[]> {
    const pool = await this.#walled(instance);
    return pool.use((session) => listTenants(session));
  }

  async ensure(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void> {
    const pool = await this.#walled(instance);
    return pool.use((session) => ensureTenant(session, tenant));
  }

  async suspend(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void> {
    const pool = await this.#walled(instance);
    const patience = tenant.dedicated ? { deadlineMs: DEDICATED_PATIENCE_MS } : {};
    return pool.use((session) => suspendTenant(session, tenant, patience));
  }

  async prove(
    instance: RunningInstance,
    asked: readonly AskedTenant[],
    manner?: ProofManner,
  ): Promise<readonly TenantProof[]> {
    const pool = await this.#walled(instance);
    const scope = { shared: this.#options.isShared(instance.id), forced: FORCED };
    return pool.use(async (session) => {
      const proving = () => proveIsolation(session, scope, asked, manner);
      if (manner?.gently !== true) return proving();
      const pids = new Set([backendPidOf(session) ?? 0]);
      const [backend] = await backendsOf(instance.pid, pids);
      const end = backend && (await this.#options.giveWay?.(instance, backend.pid));
      return proving().finally(end);
    });
  }

  async mend(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void> {
    // That the walls stood once says nothing now.
    this.#open(instance).walls = undefined;
    const pool = await this.#walled(instance);
    await pool.use(async (session) => {
      await mendTenant(session, tenant.tenantId);
      await ensureTenant(session, tenant);
      if (tenant.dedicated) await takeBackFromGroups(session, tenant.tenantId);
      else await takeBack(session, tenant.tenantId);
    });
  }

  async mendInstance(instance: RunningInstance, broken: readonly string[]): Promise<void> {
    const open = this.#open(instance);
    const shared = this.#options.isShared(instance.id);
    await open.pool.use((session) => mendPlatform(session, broken));
    open.walls = undefined;
    const pool = await this.#walled(instance);
    if (shared) await pool.use((session) => mendSharedTables(session));
  }

  async changeTables(
    instance: RunningInstance,
    changes: readonly SharedTableChange[],
  ): Promise<number> {
    const pool = await this.#walled(instance);
    return pool.use((session) => applySharedTables(session, changes));
  }

  async tryTables(
    instance: RunningInstance,
    change: SharedTableChange,
  ): Promise<ChangeRefusal | undefined> {
    const pool = await this.#walled(instance);
    return pool.use((session) => trySharedTables(session, change));
  }

  reload(instance: RunningInstance): Promise<readonly string[]> {
    return this.#open(instance).pool.use((session) => reloadConfiguration(session));
  }

  async heldLocks(instance: RunningInstance): Promise<HeldLocks> {
    // One on which a question failed is still the only one that there is.
    const found = await this.#open(instance).watch.use((session) =>
      listHeldLocks(session).catch((error: unknown) => ({ error })),
    );
    if ("error" in found) throw found.error;
    return found;
  }

  endRunaways(instance: RunningInstance): Promise<readonly Runaway[]> {
    return this.#open(instance).pool.use(async (session) => {
      await dropGroupHoldings(session);
      return endRunaways(session);
    });
  }

  cancelWrites(instance: RunningInstance): Promise<void> {
    return this.#open(instance).pool.use((session) => cancelWrites(session));
  }

  drop(instance: RunningInstance, tenantId: TenantId): Promise<void> {
    return this.#open(instance).pool.use((session) => dropTenant(session, tenantId));
  }

  async leave(instance: RunningInstance): Promise<void> {
    this.#left.add(instance);
    const open = this.#pools.get(instance.id);
    if (open?.instance !== instance) return;
    this.#pools.delete(instance.id);
    closePools(open);
  }

  close(): void {
    for (const open of this.#pools.values()) closePools(open);
    this.#pools.clear();
  }

  /** The walls are asked for once for each server; what failed is tried again. */
  async #walled(instance: RunningInstance): Promise<ConnectionPool> {
    const open = this.#open(instance);
    const shared = this.#options.isShared(instance.id);
    if (open.walls?.shared !== shared) {
      open.walls = { shared, raised: this.#raiseWalls(open, shared) };
    }
    try {
      await open.walls.raised;
    } catch (error) {
      open.walls = undefined;
      throw error;
    }
    return open.pool;
  }

  async #raiseWalls({ instance, pool, watch }: OpenPool, shared: boolean): Promise<void> {
    const { logger, password } = this.#options;
    // Best before any tenant is there to be watched.
    if (shared) await watch.use((session) => listHeldLocks(session));
    const doors = shared ? { pool: await poolLogin(password) } : {};
    const walls = { shared, forced: FORCED, ...doors };
    const left = await pool.use((session) => ensureWalls(session, walls));
    if (left === 0) return;
    logger.warn({ instance: instance.id, relations: left }, "in use, unguarded until later");
  }

  async #giveMemory(instance: RunningInstance, session: Session): Promise<void> {
    const bytes = this.#options.memoryOf?.(instance.id);
    const pid = backendPidOf(session);
    if (bytes === undefined || pid === undefined) return;
    try {
      for (const backend of await backendsOf(instance.pid, new Set([pid]))) {
        await limitMemory(backend.pid, bytes);
      }
    } catch (error) {
      // With as little as tenants have it does all but prove very many of them at once.
      const because = messageOf(error);
      this.#options.logger.warn(
        { instance: instance.id, because },
        "has no more memory of its own",
      );
    }
  }

  #open(instance: RunningInstance): OpenPool {
    const before = this.#pools.get(instance.id);
    if (before?.instance === instance) return before;
    if (this.#left.has(instance)) throw new Fault("UNAVAILABLE", "The instance is being stopped.");
    if (before !== undefined) closePools(before);
    const { password, keep } = this.#options;
    const place = { socketDirectory: instance.socketDirectory, password };
    const pool = new ConnectionPool({
      ...{ ...place, width: WIDTH, keep: () => keep(instance.id) },
      prepare: (session) => this.#giveMemory(instance, session),
    });
    const watch = new ConnectionPool({ ...place, width: 1, keep: () => 1 });
    const open = { instance, pool, watch, walls: undefined };
    this.#pools.set(instance.id, open);
    return open;
  }
}

function closePools({ pool, watch }: OpenPool): void {
  pool.close();
  watch.close();
}
