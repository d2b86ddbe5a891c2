/**
 * Measures the host and everything on it every ten seconds: a tenth of the instances each second,
 * two at a time, each with a deadline, so that measuring never comes in a storm.
 */
import { type InstanceId, messageOf, type Readings, type TenantId } from "@aerodb/model";
import { every, type Logger, monotonicMs, now, type Spool, within } from "@aerodb/runtime";
import type { InstanceDriver } from "../drivers/driver.ts";
import { Gate } from "../gate.ts";
import type { HostState } from "../host-state.ts";
import { Board } from "./board.ts";
import { HostMeter } from "./host-meter.ts";
import { type InstanceLook, InstanceMeter, type MeterLogin } from "./instance-meter.ts";
import { encodeMeasured, type Measured } from "./measured.ts";
import { QuietSpans } from "./quiet-spans.ts";
import { TenantSamples } from "./tenant-samples.ts";

export interface SamplerPorts {
  readonly home: string;
  readonly state: HostState;
  readonly driver: InstanceDriver;
  readonly samples: Spool;
  readonly login?: MeterLogin | undefined;
  readonly logger: Logger;
  /** What an instance took in a span of time. */
  readonly took?: (id: InstanceId, seconds: number, readings: Readings) => void;
  /** Told when there is something new to send. */
  readonly sampled: () => void;
}

/** How often each instance is measured, and in how many parts. */
const BEAT_MS = 10_000;
const PARTS = 10;
const AT_ONCE = 2;
/** Its own sessions have shorter deadlines; this is for what has none. */
const LOOK_DEADLINE_MS = 20_000;

interface Watched {
  readonly meter: InstanceMeter;
  readonly tenants: TenantSamples;
  part: number;
  lookedMs: number;
}

/** What measuring has cost since it was last told. */
interface Cost {
  seconds: number;
  connections: number;
  failures: number;
  skipped: number;
}

export class Sampler {
  readonly board = new Board();
  readonly #ports: SamplerPorts;
  readonly #gate = new Gate(AT_ONCE);
  readonly #host: HostMeter;
  readonly #watched = new Map<InstanceId, Watched>();
  readonly #quiet = new QuietSpans();
  #cost: Cost = noCost();
  #waiting: Uint8Array[] = [];
  #part = 0;
  #closed = false;
  #added = 0;
  #hostLookedMs = monotonicMs();

  constructor(ports: SamplerPorts) {
    this.#ports = ports;
    this.#host = new HostMeter(ports.home);
  }

  /** How servers are asked; undefined where they cannot be. */
  get login(): MeterLogin | undefined {
    return this.#ports.login;
  }

  /** Measures until the signal is aborted. */
  start(signal: AbortSignal): void {
    every(BEAT_MS / PARTS, () => this.#tick(), signal);
  }

  /** Measures everything once, now. */
  async measureAll(): Promise<void> {
    this.#follow();
    await this.#lookAt([...this.#watched.values()]);
    await this.#lookAtHost();
    this.#keep();
  }

  /** Whether nobody uses an instance, as far as was seen. */
  isIdle(id: InstanceId): boolean {
    return this.#watched.get(id)?.meter.isIdle ?? false;
  }

  /** The agent had a session in an instance: what that took is no work of its tenants. */
  visited(id: InstanceId): void {
    this.#watched.get(id)?.meter.visited();
  }

  /**
   * What the tenants of an instance that have anything take on disk, as last looked at; undefined:
   * nobody has looked yet.
   */
  tenantBytes(id: InstanceId): ReadonlyMap<TenantId, bigint> | undefined {
    const sizes = this.#watched.get(id)?.meter.sizes;
    if (sizes === undefined) return undefined;
    return new Map(
      [...sizes].map(([tenantId, { storage_bytes = 0 }]) => [tenantId, BigInt(storage_bytes)]),
    );
  }

  /** Keeps what was held back. Call when the agent stops. */
  close(): void {
    this.#waiting.push(...this.#quiet.drain().map(encodeMeasured));
    this.#keep();
    this.#closed = true;
  }

  /** Never throws: a part that fails is missing, and the next comes all the same. */
  async #tick(): Promise<void> {
    const part = this.#part;
    this.#part = (part + 1) % PARTS;
    this.#follow();
    await this.#lookAt([...this.#watched.values()].filter((each) => each.part === part));
    if (part !== PARTS - 1) return;
    await this.#lookAtHost();
    this.#keep();
  }

  async #lookAt(due: readonly Watched[]): Promise<void> {
    const startedMs = monotonicMs();
    await Promise.all(due.map((each) => this.#gate.pass(() => this.#look(each))));
    this.#cost.seconds += (monotonicMs() - startedMs) / 1_000;
  }

  /** Begins with servers that came up, and ends with those that went down. */
  #follow(): void {
    const { state, driver, login, logger } = this.#ports;
    const running = new Set<string>();
    for (const { spec } of state.instances()) {
      const server = state.seen(spec.id)?.running;
      if (server === undefined) continue;
      running.add(spec.id);
      if (this.#watched.get(spec.id)?.meter.running === server) continue;
      const meter = new InstanceMeter({
        running: server,
        shared: spec.shared,
        ...{ driver, login, logger },
      });
      const tenants = new TenantSamples(spec.id);
      const part = this.#added % PARTS;
      this.#added += 1;
      this.#watched.set(spec.id, { meter, tenants, part, lookedMs: monotonicMs() });
    }
    for (const id of this.#watched.keys()) if (!running.has(id)) this.#watched.delete(id);
    this.board.keep((id) => running.has(id));
  }

  async #look(watched: Watched): Promise<void> {
    const { logger } = this.#ports;
    const { id } = watched.meter.running;
    const expecting = `the measurements of ${id}`;
    try {
      const look = await within({ ms: LOOK_DEADLINE_MS, expecting }, watched.meter.look());
      if (look.asked) this.#cost.connections += 1;
      if (look.failure !== undefined) this.#cost.failures += 1;
      this.#report(id, watched, look);
    } catch (error) {
      this.#cost.failures += 1;
      logger.warn({ instance: id, because: messageOf(error) }, "could not measure");
    }
  }

  #report(id: InstanceId, watched: Watched, look: InstanceLook): void {
    const seconds = this.#elapsed(watched);
    const at = now();
    const { readings, statements, tenants, asked } = look;
    this.#ports.took?.(id, seconds, readings);
    const told = statements === undefined || statements.length === 0 ? {} : { statements };
    const instance = { instanceId: id, at, seconds, readings, ...told };
    this.#take(instance, !asked);
    for (const [sample, quiet] of watched.tenants.of(tenants, { at, seconds, asked })) {
      this.#take(sample, quiet);
    }
  }

  #elapsed(watched: Watched): number {
    const lookedMs = monotonicMs();
    const seconds = (lookedMs - watched.lookedMs) / 1_000;
    watched.lookedMs = lookedMs;
    if (seconds > (2 * BEAT_MS) / 1_000) this.#cost.skipped += 1;
    return seconds;
  }

  #take(measured: Measured, quiet: boolean): void {
    this.board.take(measured);
    this.#waiting.push(...this.#quiet.take(measured, quiet).map(encodeMeasured));
  }

  async #lookAtHost(): Promise<void> {
    const { samples, logger } = this.#ports;
    const { seconds, connections, failures, skipped } = this.#cost;
    try {
      const readings: Readings = {
        ...(await this.#host.measure()),
        instances_running: this.#watched.size,
        samples_waiting: samples.size,
        metering_seconds: seconds,
        metering_connections: connections,
        metering_failures: failures,
        metering_skipped: skipped,
      };
      this.#cost = noCost();
      const lookedMs = monotonicMs();
      const spanSeconds = (lookedMs - this.#hostLookedMs) / 1_000;
      this.#hostLookedMs = lookedMs;
      this.#take({ at: now(), seconds: spanSeconds, readings }, false);
    } catch (error) {
      logger.warn({ because: messageOf(error) }, "could not measure the host");
    }
  }

  #keep(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0 || this.#closed) return;
    this.#waiting = [];
    this.#ports.samples.append(waiting);
    this.#ports.sampled();
  }
}

function noCost(): Cost {
  return { seconds: 0, connections: 0, failures: 0, skipped: 0 };
}
