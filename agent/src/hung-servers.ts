/**
 * Servers that run and take no connection. One that does not answer is asked again and again; when
 * it has said nothing for long enough, the server is ended, and started again like any that ended.
 * One that nobody uses and that sleeps, as it should then, is asked seldom.
 */
import type { InstanceId } from "@aerodb/model";
import { answers } from "@aerodb/postgres";
import { monotonicMs, readProcessStat, sleep } from "@aerodb/runtime";
import type { RunningInstance } from "./drivers/driver.ts";

export interface HungOptions {
  /** How long a server may say nothing before it is taken for hung. */
  readonly afterMs?: number;
  readonly pauseMs?: number;
  readonly answerMs?: number;
}

export interface HungPorts {
  /** Whether this server is still the one that should run. */
  readonly isCurrent: (running: RunningInstance) => boolean;
  /** Whether nobody uses it. */
  readonly isIdle: (running: RunningInstance) => boolean;
  /** Ends it, and says why. */
  readonly end: (running: RunningInstance, reason: string) => Promise<void>;
  readonly signal: AbortSignal;
}

const AFTER_MS = 30_000;
const PAUSE_MS = 2_000;
const ANSWER_MS = 5_000;
/** How long an answer counts of a server that nobody uses. */
const FRESH_MS = 5 * 60_000;

export class HungServers {
  readonly #ports: HungPorts;
  readonly #options: Required<HungOptions>;
  readonly #suspects = new Map<InstanceId, Promise<void>>();
  readonly #answeredMs = new WeakMap<RunningInstance, number>();

  constructor(ports: HungPorts, options: HungOptions = {}) {
    this.#ports = ports;
    const { afterMs = AFTER_MS, pauseMs = PAUSE_MS } = options;
    const answerMs = options.answerMs ?? Math.min(ANSWER_MS, afterMs);
    this.#options = { afterMs, pauseMs, answerMs };
  }

  /** The regular look: a server is suspected, unless it idles and answered lately. */
  async look(running: RunningInstance): Promise<void> {
    const answeredMs = this.#answeredMs.get(running) ?? Number.NEGATIVE_INFINITY;
    const isFresh = monotonicMs() - answeredMs < FRESH_MS;
    if (isFresh && this.#ports.isIdle(running) && isAsleep(running.pid)) return;
    await this.suspect(running);
  }

  /** Asks a server whether it answers. Resolves once it did, ended, or was ended. */
  suspect(running: RunningInstance): Promise<void> {
    const known = this.#suspects.get(running.id);
    if (known !== undefined) return known;
    const asking = this.#ask(running).finally(() => this.#suspects.delete(running.id));
    this.#suspects.set(running.id, asking);
    return asking;
  }

  /** Whether it has yet to answer. */
  isSuspected(id: InstanceId): boolean {
    return this.#suspects.has(id);
  }

  async #ask(running: RunningInstance): Promise<void> {
    const { afterMs, pauseMs, answerMs } = this.#options;
    const { isCurrent, end, signal } = this.#ports;
    const start = monotonicMs();
    while (!signal.aborted && isCurrent(running)) {
      if (await answers(running.socketDirectory, answerMs)) {
        this.#answeredMs.set(running, monotonicMs());
        return;
      }
      const silentMs = Math.round(monotonicMs() - start);
      if (silentMs >= afterMs && isCurrent(running)) {
        const seconds = Math.round(silentMs / 1_000);
        return end(running, `The server ran and answered nobody for ${seconds} s.`);
      }
      await sleep(pauseMs, signal).catch(() => undefined);
    }
  }
}

/** Whether a process waits for something to come: not one that is stopped, loops or is stuck. */
export function isAsleep(pid: number): boolean {
  return readProcessStat(pid)?.state === "S";
}
