/**
 * Keeps some instances running that nobody asked for yet, so that a tenant gets its server without
 * waiting for one to be made and started. Control knows of them and gives one away by asking for an
 * instance of its id: from then on it is like any other, and what is written here counts no more.
 */
import { existsSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { type InstanceId, isId, lookAgain, messageOf, type Outcome, settled } from "@aerodb/model";
import {
  failpoint,
  type Logger,
  type Loop,
  newId,
  replaceFileSync,
  startLoop,
} from "@aerodb/runtime";
import type { FoundInstance, InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import type { AppliedSpec, InstanceSpec } from "./instance-spec.ts";

/** What a dedicated instance is made with, whoever it is for. */
export type WarmShape = Pick<
  InstanceSpec,
  "engineMajor" | "maxConnections" | "memoryMiB" | "cpuMillis" | "storageMiB" | "pidsLimit"
>;

export interface WarmPolicy {
  readonly shape: WarmShape;
  readonly count: number;
}

/** An instance that runs and waits. */
export interface WarmInstance {
  readonly spec: InstanceSpec;
  readonly running: RunningInstance;
  readonly applied: AppliedSpec | undefined;
}

export interface WarmPorts {
  /** Where the ids are kept: an instance is listed before there is anything of it on disk. */
  readonly file: string;
  readonly driver: InstanceDriver;
  /** Whether control asked for this instance. */
  readonly isDesired: (id: InstanceId) => boolean;
  /** Does ahead what would take time once it is given away. Never rejects. */
  readonly prepare: (running: RunningInstance) => Promise<void>;
  /** Whether the host makes or starts what somebody waits for. */
  readonly isBusy: () => boolean;
  /** Whether there is memory for one more; false: those that wait are given up. */
  readonly hasRoom: () => boolean;
  /** Told whenever one comes or goes. */
  readonly changed: () => void;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** How long the host has to be quiet before one is made. */
const QUIET_MS = 250;
/** How often memory is looked at. */
const REST_MS = 10_000;
/** Share of the memory that must be free for warm instances to stay, and for new ones. */
const LEAST_FREE = 0.1;
const ENOUGH_FREE = 0.15;

export class WarmInstances {
  readonly #ports: WarmPorts;
  /** Everything of ours that may be on disk, asked for by control or not. */
  readonly #listed: Map<InstanceId, WarmShape>;
  readonly #ready = new Map<InstanceId, WarmInstance>();
  readonly #leaving = new Map<InstanceId, Promise<void>>();
  /** Undefined until control has said: until then what runs is kept. */
  #policies: readonly WarmPolicy[] | undefined;
  #loop: Loop | undefined;
  #busyBefore = true;

  constructor(ports: WarmPorts) {
    this.#ports = ports;
    this.#listed = readList(ports.file);
  }

  /** Those that can be given away. */
  get ready(): readonly WarmInstance[] {
    return [...this.#ready.values()];
  }

  /** Whether an instance on disk is one of these, and not a tenant's. */
  holds(id: InstanceId): boolean {
    return this.#listed.has(id) && !this.#ports.isDesired(id);
  }

  /** Takes over what an earlier agent kept ready. What does not run any more is given up. */
  async start(found: readonly FoundInstance[]): Promise<void> {
    await Promise.all(
      found.map(async ({ id, running }) => {
        const shape = this.#listed.get(id);
        if (shape === undefined || running === undefined) return;
        // Before anybody can be given it; what was half done in one that is given away is undone.
        await this.#ports.prepare(running);
        if (this.holds(id)) await this.#keep(specOf(id, shape), running);
      }),
    );
    const { logger, signal } = this.#ports;
    const options = { name: "warm instances", logger, signal, restMs: REST_MS };
    this.#loop = startLoop(() => this.#pass(), options);
  }

  /** What is to be kept from now on. */
  follow(policies: readonly WarmPolicy[]): void {
    this.#policies = policies;
    this.#loop?.nudge();
  }

  /** Control asked for an instance: gives it away if it is one of these and runs. */
  give(id: InstanceId): WarmInstance | undefined {
    const given = this.#ready.get(id);
    if (given === undefined) return undefined;
    this.#ready.delete(id);
    // Whoever got it is waiting: another is not made before the host was seen to be quiet.
    this.#busyBefore = true;
    this.#changed();
    return given;
  }

  /** Resolves once nothing is being removed under this id. */
  async gone(id: InstanceId): Promise<void> {
    await this.#leaving.get(id);
  }

  /** Resolves once nothing is made or removed any more. Call after the signal was aborted. */
  async idle(): Promise<void> {
    await this.#loop?.ended;
  }

  /** One thing at a time: what is wrong goes first, then what is missing comes. */
  async #pass(): Promise<Outcome> {
    const { hasRoom, isBusy } = this.#ports;
    const unwanted = this.#unwanted(hasRoom());
    if (unwanted !== undefined) {
      await this.#remove(unwanted);
      return lookAgain({ afterMs: 0, because: "one was removed" });
    }
    const missing = hasRoom() ? this.#missing() : undefined;
    if (missing === undefined) return settled;
    const wasBusy = this.#busyBefore;
    this.#busyBefore = isBusy();
    if (this.#busyBefore || wasBusy) {
      return lookAgain({ afterMs: QUIET_MS, because: "the host is busy" });
    }
    await this.#make(missing);
    return lookAgain({ afterMs: 0, because: "one was made" });
  }

  /** One that is listed and should not be: half made, ended, too many, or in the way. */
  #unwanted(room: boolean): InstanceId | undefined {
    const left = new Map(this.#policies?.map(({ shape, count }) => [keyOf(shape), count]));
    for (const [id, shape] of this.#listed) {
      if (this.#ports.isDesired(id)) {
        this.#unlist(id);
        continue;
      }
      if (!this.#ready.has(id) || !room) return id;
      if (this.#policies === undefined) continue;
      const count = left.get(keyOf(shape)) ?? 0;
      if (count === 0) return id;
      left.set(keyOf(shape), count - 1);
    }
    return undefined;
  }

  #missing(): WarmShape | undefined {
    for (const { shape, count } of this.#policies ?? []) {
      const key = keyOf(shape);
      const kept = this.ready.filter(({ spec }) => keyOf(spec) === key).length;
      if (kept < count) return shape;
    }
    return undefined;
  }

  async #make(shape: WarmShape): Promise<void> {
    const { driver, prepare, signal } = this.#ports;
    const spec = specOf(newId("ins"), shape);
    this.#listed.set(spec.id, shape);
    this.#save();
    await failpoint("agent.warm.listed");
    await driver.make(spec, signal);
    await failpoint("agent.warm.made");
    const running = await driver.start(spec, signal);
    await failpoint("agent.warm.started");
    await prepare(running);
    await this.#keep(spec, running);
    this.#changed();
  }

  async #keep(spec: InstanceSpec, running: RunningInstance): Promise<void> {
    const { id } = spec;
    const warm = { spec, running, applied: await this.#ports.driver.records.applied(id) };
    this.#ready.set(id, warm);
    void running.exited.then(() => {
      if (this.#ready.get(id) !== warm) return;
      this.#ready.delete(id);
      this.#changed();
    });
  }

  /** Control may ask for it at the same moment: whoever makes it then waits for its end. */
  async #remove(id: InstanceId): Promise<void> {
    const { driver, logger } = this.#ports;
    if (this.#ready.delete(id)) this.#ports.changed();
    const leaving = driver.stop(id, "immediate").then(() => driver.destroy(id));
    const settled = leaving.catch((error: unknown) => {
      logger.warn({ instance: id, because: messageOf(error) }, "could not remove a warm instance");
    });
    this.#leaving.set(id, settled);
    try {
      await leaving;
      await failpoint("agent.warm.removed");
      this.#unlist(id);
    } finally {
      this.#leaving.delete(id);
    }
  }

  #unlist(id: InstanceId): void {
    this.#listed.delete(id);
    this.#save();
  }

  #changed(): void {
    this.#ports.changed();
    this.#loop?.nudge();
  }

  #save(): void {
    replaceFileSync(this.#ports.file, JSON.stringify(Object.fromEntries(this.#listed)));
  }
}

function specOf(id: InstanceId, shape: WarmShape): InstanceSpec {
  return { id, shared: false, settings: {}, importance: 0, restartGeneration: 0n, ...shape };
}

function keyOf(shape: WarmShape): string {
  const { engineMajor, maxConnections, memoryMiB, cpuMillis, storageMiB, pidsLimit } = shape;
  return [engineMajor, maxConnections, memoryMiB, cpuMillis, storageMiB, pidsLimit].join(" ");
}

/**
 * Whether the machine, or the control group that the agent lives in, has memory to spare. What was
 * given up is not made again before there is clearly more.
 */
export function roomInMemory(): () => boolean {
  let had = true;
  return () => {
    const free = process.availableMemory() / totalmem();
    had = free >= (had ? LEAST_FREE : ENOUGH_FREE);
    return had;
  };
}

function readList(file: string): Map<InstanceId, WarmShape> {
  if (!existsSync(file)) return new Map();
  const entries = Object.entries(JSON.parse(readFileSync(file, "utf8")) as object);
  return new Map(
    entries.flatMap(([id, shape]) => (isId("ins", id) ? [[id, shape as WarmShape] as const] : [])),
  );
}
