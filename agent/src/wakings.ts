/** Lets those wait who need an instance that is down. Many at once cause one start. */
import { Fault, type InstanceId } from "@aerodb/model";
import { connectInstance } from "@aerodb/postgres";
import { now, sleep, Waiters } from "@aerodb/runtime";
import type { Subject } from "./desired.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";

/** The longest a wake takes, whatever deadline the caller has. */
const LONGEST_WAKE_MS = 30_000;
/** How long to leave a server that does not accept, before its end is noticed. */
const NOTICE_MS = 50;

export interface WakingPorts {
  readonly state: HostState;
  /** Looks at a subject now. */
  readonly look: (subject: Subject) => void;
  /** Asks a server that runs whether it answers, and ends it if it never does. */
  readonly suspect: (id: InstanceId) => void;
}

export class Wakings {
  readonly #ports: WakingPorts;
  readonly #waiters = new Waiters();

  constructor(ports: WakingPorts) {
    this.#ports = ports;
  }

  /** Tells those who wait for an instance that something about it changed. */
  changed(subject: Subject): void {
    if (subject.kind === "instance") this.#waiters.wake(subject.id);
  }

  /**
   * Resolves once the instance accepts connections. One that runs already is asked whether it
   * answers, too: a server that hangs accepts all who come. Throws INSTANCE_NOT_FOUND when the
   * host should not run it, and OPERATION_TIMED_OUT.
   */
  async wake(id: InstanceId, deadline: Date | number): Promise<void> {
    const leftMs = Number(deadline) - now().getTime();
    const ms = Math.min(LONGEST_WAKE_MS, Number.isFinite(leftMs) ? Math.max(leftMs, 1) : Infinity);
    const signal = AbortSignal.timeout(Math.ceil(ms));
    this.#require(id);
    this.#ports.look({ kind: "instance", id });
    this.#ports.suspect(id);
    try {
      await this.#waiters.until(id, () => this.#accepting(id, signal), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      const message = `Waited ${Math.round(ms)} ms for the instance to accept connections.`;
      throw new Fault("OPERATION_TIMED_OUT", message, { cause: error });
    }
  }

  /** Where a running instance is reached. Throws INSTANCE_NOT_FOUND or UNAVAILABLE. */
  socketDirectory(id: InstanceId): string {
    this.#require(id);
    const running = this.#ports.state.seen(id)?.running;
    if (running !== undefined) return running.socketDirectory;
    throw new Fault("UNAVAILABLE", "The instance is down.");
  }

  #require(id: InstanceId): void {
    if (this.#ports.state.instance(id)?.present === true) return;
    throw new Fault("INSTANCE_NOT_FOUND", `This host has no instance ${id}.`);
  }

  async #accepting(id: InstanceId, signal: AbortSignal): Promise<true | undefined> {
    for (;;) {
      this.#require(id);
      const running = this.#ports.state.seen(id)?.running;
      if (running === undefined) return undefined;
      if (await accepts(running)) return true;
      // It died, and that was not noticed yet: an adopted server is looked at now and then only.
      await sleep(NOTICE_MS, signal);
    }
  }
}

function accepts(instance: RunningInstance): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connectInstance(instance.socketDirectory);
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
