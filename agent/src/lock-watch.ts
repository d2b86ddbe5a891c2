/**
 * Keeps the tables of locks of shared instances from being a few tenants'. Postgres gives each
 * session as many as fit, and once nothing fits nobody can log in or change a table; no setting
 * bounds what one role holds. So whoever holds most of what is too much loses its sessions, and so
 * does who holds a lock that the platform waits for, for making, proving and dropping others must
 * not depend on anybody's transaction; and who keeps others from what is theirs.
 */
import { type InstanceId, messageOf } from "@aerodb/model";
import type { HeldLocks, HoldingBackend } from "@aerodb/postgres";
import { type Logger, monotonicMs, signalProcess } from "@aerodb/runtime";
import { backendsOf } from "./backend-processes.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

export interface LockWatchPorts {
  readonly state: HostState;
  readonly tenants: Pick<TenantKeeper, "heldLocks">;
  readonly logger: Logger;
}

/** Of what fits, for all sessions of all tenants together. */
const MOST_PART = 1 / 2;
/**
 * Postgres ends a session where it looks whether it should, and there are expressions in which it
 * does not for minutes. Nobody can log in for as long, so after this time the process is killed,
 * and the server begins anew, which takes all sessions a second or so.
 */
const STUBBORN_MS = 8_000;

export class LockWatch {
  readonly #ports: LockWatchPorts;
  /** Where it could not be asked the last time: said once. */
  readonly #unknown = new Set<InstanceId>();
  /** Sessions that were told to end, as the server counts processes, and when they were first. */
  readonly #told = new WeakMap<RunningInstance, ReadonlyMap<number, number>>();

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

  /** Those that were told to end and hold what they held long after. */
  #stubbornAmong(running: RunningInstance, greedy: readonly HoldingBackend[]): ReadonlySet<number> {
    const before = this.#told.get(running);
    const nowMs = monotonicMs();
    const told = new Map(greedy.map(({ pid }) => [pid, before?.get(pid) ?? nowMs]));
    this.#told.set(running, told);
    return new Set([...told].filter(([, atMs]) => nowMs - atMs > STUBBORN_MS).map(([pid]) => pid));
  }

  async #lookAt(running: RunningInstance): Promise<void> {
    const { tenants, logger } = this.#ports;
    const { id } = running;
    try {
      const found = await tenants.heldLocks(running);
      this.#unknown.delete(id);
      const greedy = greedyOf(found);
      if (greedy.length > 0) {
        const locks = greedy.reduce((sum, each) => sum + each.locks + each.readLocks, 0);
        const held = { instance: id, sessions: greedy.length, locks };
        logger.warn(held, "ends who holds too many locks");
      }
      for (const [who, others] of [
        [found.blockers, "the platform"],
        [found.intruders, "others in what is theirs"],
      ] as const) {
        const names = [...new Set(who.map(({ name }) => name))];
        if (names.length > 0) {
          logger.warn({ instance: id, names }, `ends who holds up ${others} by a lock`);
        }
      }
      const stubborn = this.#stubbornAmong(running, greedy);
      if (stubborn.size > 0) {
        logger.error({ instance: id, sessions: stubborn.size }, "restarts it to free its locks");
        await signalBackends(running.pid, stubborn, "SIGKILL");
      }
      const ended = [...greedy, ...found.blockers, ...found.intruders].map(({ pid }) => pid);
      if (ended.length > 0) await signalBackends(running.pid, new Set(ended), "SIGTERM");
    } catch (error) {
      if (this.#unknown.has(id)) return;
      this.#unknown.add(id);
      logger.warn({ instance: id, because: messageOf(error) }, "could not look at who holds locks");
    }
  }
}

/** Sessions of those who hold most, until what the others hold is not too much. */
function greedyOf(found: HeldLocks): readonly HoldingBackend[] {
  const { backends, capacity, readCapacity } = found;
  const roles = new Set([
    ...mostOf(backends, ({ locks }) => locks, capacity * MOST_PART),
    ...mostOf(backends, ({ readLocks }) => readLocks, readCapacity * MOST_PART),
  ]);
  return backends.filter(({ role }) => roles.has(role));
}

function mostOf(
  backends: readonly HoldingBackend[],
  countOf: (backend: HoldingBackend) => number,
  most: number,
): readonly string[] {
  const held = new Map<string, number>();
  for (const each of backends) held.set(each.role, (held.get(each.role) ?? 0) + countOf(each));
  let left = [...held.values()].reduce((sum, count) => sum + count, 0);
  const roles: string[] = [];
  for (const [role, count] of [...held].toSorted(([, one], [, other]) => other - one)) {
    if (left <= most) break;
    roles.push(role);
    left -= count;
  }
  return roles;
}

/** Ends sessions as `pg_terminate_backend` does, which itself takes a lock. */
async function signalBackends(
  postmasterPid: number,
  pids: ReadonlySet<number>,
  signal: "SIGTERM" | "SIGKILL",
): Promise<void> {
  for (const identity of await backendsOf(postmasterPid, pids)) {
    signalProcess(identity, signal);
  }
}
