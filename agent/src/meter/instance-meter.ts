/**
 * Measures one running server. What the host counts of it is read every time; the server itself is
 * asked only when it has done something since it was last asked, in one short session: an idle
 * instance should stay idle.
 */
import { Fault, type MetricName, messageOf, type Readings, type TenantId } from "@aerodb/model";
import {
  type ActivityAnswer,
  askActivity,
  askLargeObjects,
  askSizes,
  askStatements,
  type SizesAnswer,
  type TopStatement,
  withMeter,
} from "@aerodb/postgres";
import { backoffMs, type Logger, monotonicMs } from "@aerodb/runtime";
import type {
  InstanceDriver,
  InstanceRecords,
  ResourceUsage,
  RunningInstance,
} from "../drivers/driver.ts";
import { Backends } from "./backends.ts";
import { Counters } from "./counters.ts";

/** How the meter gets into servers. */
export interface MeterLogin {
  readonly password: string;
  /** Makes the login in a server that does not know it. */
  repair(running: RunningInstance): Promise<void>;
}

export interface InstanceMeterPorts {
  readonly running: RunningInstance;
  readonly shared: boolean;
  readonly driver: Pick<InstanceDriver, "usage"> & {
    readonly records: Pick<InstanceRecords, "writeMark">;
  };
  /** Left out where servers cannot be asked: only what the host counts is measured. */
  readonly login?: MeterLogin | undefined;
  readonly logger: Logger;
}

/** What one look at an instance found. */
export interface InstanceLook {
  readonly readings: Readings;
  readonly statements?: readonly TopStatement[];
  readonly tenants: ReadonlyMap<TenantId, TenantLook>;
  /** Whether a session was opened, and what went wrong if something did. */
  readonly asked: boolean;
  readonly failure: string | undefined;
}

export interface TenantLook {
  readonly readings: Readings;
  readonly statements?: readonly TopStatement[];
  /** Whether its sizes were looked at this time. */
  readonly sized: boolean;
}

/** A server is asked after this much work, and what it does while nobody uses it is none. */
const NOTICEABLE_SECONDS = 0.05;
/** Of a processor: an autovacuum worker a minute, and a look of the agent now and then. */
const IDLE_SHARE = 0.001;
/** What the agent's own session takes at most, to list tenants and to prove them. */
const VISIT_SECONDS = 0.1;
/** What the host counts besides processor time is read this seldom of a server that is idle. */
const LOOKS_REPEATED = 6;
/** A server is asked now and then even if nothing seems to have happened. */
const ASK_AT_LEAST_MS = 10 * 60_000;
/** A server that nothing was asked of for so long has no short sessions either. */
const IDLE_AFTER_MS = 60_000;
/** How soon after it was last asked where something was written, with however little work. */
const ASK_WRITTEN_MS = 60_000;
/** How often where the host does not count what a server does. */
const ASK_BLINDLY_MS = 60_000;
/** Sizes are looked at this often, and more seldom where that takes more than 1 % of the time. */
const SIZES_MS = 60_000;
const SIZES_SHARE = 100;
const SIZES_FAILED_MS = 10 * 60_000;
const SIZES_DEADLINE_MS = 10_000;
const BACKOFF = { firstMs: 10_000, maxMs: 5 * 60_000 };

export class InstanceMeter {
  readonly #ports: InstanceMeterPorts;
  readonly #counters = new Counters();
  readonly #backends = new Backends();
  #gauges: Readings = {};
  #sizes: SizesAnswer | undefined;
  #largeObjects: ReadonlyMap<TenantId, number> = new Map();
  /** When the server was last asked, what was written by then, and how many processes it had. */
  #asked:
    | { readonly atMs: number; readonly mark: string; readonly processes: number | undefined }
    | undefined;
  /** At the look before this one. */
  #seen: { readonly atMs: number; readonly usage: ResourceUsage } | undefined;
  #looks = 0;
  /** Processor time since it was last asked, beyond what idling takes. */
  #workSeconds = 0;
  #sizesDueMs = 0;
  #retryAtMs = 0;
  #failures = 0;
  #repaired = false;

  constructor(ports: InstanceMeterPorts) {
    this.#ports = ports;
  }

  get running(): RunningInstance {
    return this.#ports.running;
  }

  /** What each tenant that has anything takes on disk; undefined: nobody has looked yet. */
  get sizes(): ReadonlyMap<TenantId, Readings> | undefined {
    return this.#sizes?.tenants;
  }

  /** Whether nobody has a session, and nothing came up lately that the server was asked about. */
  get isIdle(): boolean {
    if (this.#asked === undefined || this.#failures > 0) return false;
    return this.#gauges.connections === 0 && monotonicMs() - this.#asked.atMs >= IDLE_AFTER_MS;
  }

  async look(): Promise<InstanceLook> {
    const { driver, running } = this.#ports;
    const before = this.#seen?.usage;
    this.#looks += 1;
    const isRepeated = this.#looks % LOOKS_REPEATED !== 0;
    const usage = await driver.usage(running, isRepeated ? before : undefined);
    const counted = this.#counters.advance(sumsOf(usage));
    const base = { ...counted, ...gaugesOf(usage) };
    this.#see(usage);
    if (!(await this.#isDue(usage, before))) return this.#quiet(base);
    try {
      // From before it is asked: what is written meanwhile may not be in what it says.
      const mark = await driver.records.writeMark(running.id);
      const answer = await this.#ask();
      // What the session itself cost is not taken for work the next time.
      const { cpuSeconds } = await driver.usage(running, usage);
      this.#see({ ...usage, cpuSeconds });
      this.#workSeconds = 0;
      this.#asked = { atMs: monotonicMs(), mark, processes: usage.processes };
      this.#failures = 0;
      return this.#busy(base, answer);
    } catch (error) {
      return { ...this.#quiet(base), asked: true, failure: await this.#fail(error) };
    }
  }

  /** The agent had a session of its own since the last look. */
  visited(): void {
    this.#workSeconds -= VISIT_SECONDS;
  }

  /** Notes what the server used, and how much of it was work. */
  #see(usage: ResourceUsage): void {
    const atMs = monotonicMs();
    const before = this.#seen ?? { atMs, usage };
    const usedSeconds = (usage.cpuSeconds ?? 0) - (before.usage.cpuSeconds ?? 0);
    const idleSeconds = (IDLE_SHARE * (atMs - before.atMs)) / 1_000;
    this.#workSeconds = Math.max(0, this.#workSeconds + usedSeconds - idleSeconds);
    this.#seen = { atMs, usage };
  }

  async #isDue(usage: ResourceUsage, before: ResourceUsage | undefined): Promise<boolean> {
    const { driver, running } = this.#ports;
    const atMs = monotonicMs();
    if (this.#ports.login === undefined || atMs < this.#retryAtMs) return false;
    if (this.#asked === undefined || this.#failures > 0) return true;
    const sinceMs = atMs - this.#asked.atMs;
    if (usage.cpuSeconds === undefined) return sinceMs >= ASK_BLINDLY_MS;
    // Only who is there at two looks counts: the agent's own sessions are gone by then.
    const somebodyCameOrWent =
      usage.processes === before?.processes && usage.processes !== this.#asked.processes;
    if (this.#workSeconds >= NOTICEABLE_SECONDS || somebodyCameOrWent) return true;
    if (sinceMs < ASK_WRITTEN_MS) return false;
    return (
      sinceMs >= ASK_AT_LEAST_MS ||
      this.#asked.mark !== (await driver.records.writeMark(running.id))
    );
  }

  async #ask(): Promise<Answer> {
    const { login, running } = this.#ports;
    if (login === undefined) throw new Error("bug: asked without a login");
    const sized = monotonicMs() >= this.#sizesDueMs;
    const { socketDirectory, engine } = running;
    const { password } = login;
    const timeout = sized ? { statementTimeoutMs: SIZES_DEADLINE_MS } : {};
    return withMeter({ socketDirectory, password, ...timeout }, async (client) => {
      const activity = await askActivity(client, Number.parseInt(engine, 10));
      if (!sized) return { activity };
      // Until it has succeeded.
      this.#sizesDueMs = monotonicMs() + SIZES_FAILED_MS;
      const startedMs = monotonicMs();
      const sizes = await this.#askSizes(client);
      const statements = await askStatements(client);
      const endedMs = monotonicMs();
      this.#sizesDueMs = endedMs + Math.max(SIZES_MS, SIZES_SHARE * (endedMs - startedMs));
      return { activity, sizes, statements };
    });
  }

  /** Large objects are told apart only where tenants share them. */
  async #askSizes(client: MeterClient): Promise<SizesAnswer> {
    const { shared, logger, running } = this.#ports;
    const sizes = await askSizes(client);
    if (!shared) return sizes;
    try {
      this.#largeObjects = await askLargeObjects(client);
    } catch (error) {
      if (lacksLogin(error)) throw error;
      // What is stored besides is told all the same, and these as they were.
      const because = messageOf(error);
      logger.warn({ instance: running.id, because }, "large objects could not be sized");
    }
    return withLargeObjects(sizes, this.#largeObjects);
  }

  #busy(base: Readings, answer: Answer): InstanceLook {
    const { shared, running } = this.#ports;
    const { activity, sizes, statements } = answer;
    this.#sizes = sizes ?? this.#sizes;
    this.#gauges = { ...activity.gauges, ...this.#sizes?.gauges };
    const added = this.#counters.advance(activity.counters);
    const used = shared ? this.#backends.measure(running.pid) : new Map<TenantId, number>();
    return {
      readings: { ...base, ...added, ...this.#gauges },
      ...(statements === undefined ? {} : { statements }),
      tenants: shared ? this.#tenants(answer, used) : new Map(),
      asked: true,
      failure: undefined,
    };
  }

  #tenants(
    { activity, sizes, statements }: Answer,
    used: ReadonlyMap<TenantId, number>,
  ): ReadonlyMap<TenantId, TenantLook> {
    const known = this.sizes ?? new Map<TenantId, Readings>();
    const ids = new Set([...activity.tenants.keys(), ...used.keys(), ...known.keys()]);
    return new Map(
      [...ids].map((id) => {
        const readings: Readings = {
          ...NO_SESSIONS,
          ...activity.tenants.get(id),
          ...known.get(id),
          cpu_seconds: used.get(id) ?? 0,
        };
        const own = statements?.filter(({ tenantId }) => tenantId === id) ?? [];
        const told = own.length === 0 ? {} : { statements: own };
        return [id, { readings, ...told, sized: sizes !== undefined }] as const;
      }),
    );
  }

  #quiet(base: Readings): InstanceLook {
    const readings = { ...base, ...this.#gauges };
    return { readings, tenants: new Map(), asked: false, failure: undefined };
  }

  async #fail(error: unknown): Promise<string> {
    const { logger, running, login } = this.#ports;
    const failure = messageOf(error);
    this.#failures += 1;
    this.#retryAtMs = monotonicMs() + backoffMs(this.#failures, BACKOFF);
    logger.warn({ instance: running.id, failures: this.#failures, because: failure }, "no answer");
    if (login === undefined || this.#repaired || !lacksLogin(error)) return failure;
    try {
      await login.repair(running);
      this.#repaired = true;
      this.#retryAtMs = 0;
    } catch (cause) {
      logger.warn({ instance: running.id, because: messageOf(cause) }, "no login to measure");
    }
    return failure;
  }
}

type MeterClient = Parameters<typeof askSizes>[0];

function withLargeObjects(
  sizes: SizesAnswer,
  largeObjects: ReadonlyMap<TenantId, number>,
): SizesAnswer {
  const tenants = new Map(sizes.tenants);
  for (const [tenantId, bytes] of largeObjects) {
    const { storage_bytes = 0, ...rest } = tenants.get(tenantId) ?? NO_RELATIONS;
    tenants.set(tenantId, { ...rest, storage_bytes: storage_bytes + Math.round(bytes) });
  }
  return { ...sizes, tenants };
}

const NO_RELATIONS: Readings = { storage_bytes: 0, live_rows: 0, dead_rows: 0, bloat_bytes: 0 };

interface Answer {
  readonly activity: ActivityAnswer;
  readonly sizes?: SizesAnswer;
  readonly statements?: readonly TopStatement[];
}

const NO_SESSIONS: Readings = {
  connections: 0,
  active_connections: 0,
  idle_in_transaction_connections: 0,
  lock_waiting_connections: 0,
  oldest_transaction_seconds: 0,
};

/** No such role, or another password; or a right that a later version needs. */
const LACKING = ["28000", "28P01", "42501"];

function lacksLogin(error: unknown): boolean {
  const cause = error instanceof Fault ? error.cause : error;
  const { code } = (cause ?? {}) as { readonly code?: unknown };
  return typeof code === "string" && LACKING.includes(code);
}

function sumsOf(usage: ResourceUsage): Readings {
  return known({
    cpu_seconds: usage.cpuSeconds,
    throttled_seconds: usage.throttledSeconds,
    throttled_periods: usage.throttledPeriods,
    oom_kills: usage.oomKills,
    read_bytes: usage.readBytes,
    written_bytes: usage.writtenBytes,
  });
}

function gaugesOf(usage: ResourceUsage): Readings {
  return known({ memory_bytes: usage.memoryBytes, processes: usage.processes });
}

function known(readings: Readonly<Partial<Record<MetricName, number | undefined>>>): Readings {
  const found = Object.entries(readings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(found);
}
