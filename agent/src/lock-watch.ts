/**
 * Keeps the table of locks of shared instances from being one tenant's. Postgres gives each session
 * as many as fit, and once nothing fits nobody can log in or change a table; no setting bounds what
 * one role holds. So whoever holds too much loses its sessions, and so does who holds a lock that
 * the platform waits for: making, proving and dropping others must not depend on anybody's
 * transaction.
 */
import { type InstanceId, messageOf } from "@aerodb/model";
import { type HoldingBackend, identifyProcess, innerPidOf, signalProcess } from "@aerodb/postgres";
import type { Logger } from "@aerodb/runtime";
import type { RunningInstance } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";
import { childrenOf } from "./meter/backends.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

export interface LockWatchPorts {
  readonly state: HostState;
  readonly tenants: Pick<TenantKeeper, "heldLocks">;
  readonly logger: Logger;
}

/** Of what fits, for all sessions of one tenant together. */
const MOST_PART = 1 / 2;

export class LockWatch {
  readonly #ports: LockWatchPorts;
  /** Where it could not be asked the last time: said once. */
  readonly #unknown = new Set<InstanceId>();

  constructor(ports: LockWatchPorts) {
    this.#ports = ports;
  }

  /** Looks at every shared instance that runs. Never rejects. */
  async look(): Promise<void> {
    const { state } = this.#ports;
    const shared = [...state.instances()].filter(({ spec }) => spec.shared);
    const running = shared.flatMap(({ spec }) => state.seen(spec.id)?.running ?? []);
    await Promise.all(running.map((each) => this.#lookAt(each)));
  }

  async #lookAt(running: RunningInstance): Promise<void> {
    const { tenants, logger } = this.#ports;
    const { id } = running;
    try {
      const { backends, blockers, capacity } = await tenants.heldLocks(running);
      this.#unknown.delete(id);
      const greedy = greedyOf(backends, capacity * MOST_PART);
      if (greedy.length > 0) {
        const locks = greedy.reduce((sum, each) => sum + each.locks, 0);
        const found = { instance: id, sessions: greedy.length, locks };
        logger.warn(found, "ends who holds too many locks");
      }
      if (blockers.length > 0) {
        const names = [...new Set(blockers.map(({ name }) => name))];
        logger.warn({ instance: id, names }, "ends who holds up the platform by a lock");
      }
      const ended = [...greedy, ...blockers].map(({ pid }) => pid);
      if (ended.length > 0) await endBackends(running.pid, new Set(ended));
    } catch (error) {
      if (this.#unknown.has(id)) return;
      this.#unknown.add(id);
      logger.warn({ instance: id, because: messageOf(error) }, "could not look at who holds locks");
    }
  }
}

/** Sessions of every role that holds more than so many. */
function greedyOf(backends: readonly HoldingBackend[], most: number): readonly HoldingBackend[] {
  const held = new Map<string, number>();
  for (const { role, locks } of backends) held.set(role, (held.get(role) ?? 0) + locks);
  return backends.filter(({ role }) => (held.get(role) ?? 0) > most);
}

/**
 * Ends sessions as `pg_terminate_backend` does, which itself takes a lock. `pids`: as the server
 * counts processes, which in a sandbox differs from how the host does.
 */
async function endBackends(postmasterPid: number, pids: ReadonlySet<number>): Promise<void> {
  for (const child of childrenOf(postmasterPid)) {
    const identity = identifyProcess(Number(child));
    const inner = await innerPidOf(Number(child));
    if (identity === undefined || inner === undefined || !pids.has(inner)) continue;
    await signalProcess(identity, "SIGTERM");
  }
}
