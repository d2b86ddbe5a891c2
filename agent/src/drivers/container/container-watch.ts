/**
 * Learns from Docker's stream of events that containers ended. One stream for all of an agent's
 * containers; when it breaks, it is opened again and what was missed is looked up.
 */
import { createInterface } from "node:readline";
import { messageOf } from "@aerodb/model";
import { backoffMs, type Logger, sleep } from "@aerodb/runtime";
import type Docker from "dockerode";
import { ask } from "./docker-calls.ts";

/** How a container ended; the code is unknown when nobody listened. */
export interface ContainerEnd {
  readonly code: number | undefined;
}

export interface ContainerWatchOptions {
  readonly docker: Docker;
  /** The label that all of the containers carry, as `name=value`. */
  readonly label: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

interface Watched {
  readonly ended: Promise<ContainerEnd>;
  readonly end: (end: ContainerEnd) => void;
}

const BACKOFF = { firstMs: 100, maxMs: 5_000 };
/** What a container is that has not ended, or has not begun. */
const ALIVE = new Set(["created", "running", "paused", "restarting"]);

export class ContainerWatch {
  readonly #options: ContainerWatchOptions;
  readonly #watched = new Map<string, Watched>();
  #opened: Promise<void> | undefined;

  constructor(options: ContainerWatchOptions) {
    this.#options = options;
  }

  /** Begins to listen; resolves once it does. Safe to repeat. */
  async open(): Promise<void> {
    if (this.#opened === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#opened = promise;
      void this.#listen(resolve);
    }
    await this.#opened;
  }

  /** Resolves once a container ended. Ask before it is started: what ended is not found again. */
  watch(id: string): Promise<ContainerEnd> {
    const known = this.#watched.get(id);
    if (known !== undefined) return known.ended;
    const { promise: ended, resolve: end } = Promise.withResolvers<ContainerEnd>();
    this.#watched.set(id, { ended, end });
    return ended;
  }

  /** Nobody waits for the end of a container that never began. */
  forget(id: string): void {
    this.#watched.delete(id);
  }

  async #listen(opened: () => void): Promise<void> {
    const { logger, signal } = this.#options;
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        const events = await this.#subscribe();
        await this.#lookUp();
        failures = 1;
        opened();
        for await (const line of createInterface({ input: events, signal })) this.#take(line);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ because: messageOf(error) }, "lost Docker's events");
      }
      await sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined);
    }
  }

  #subscribe(): Promise<NodeJS.ReadableStream> {
    const { docker, label, signal } = this.#options;
    const which = { filters: { type: ["container" as const], event: ["die"], label: [label] } };
    return ask("report events", docker.getEvents({ ...which, abortSignal: signal }));
  }

  /** What ended while nobody listened. */
  async #lookUp(): Promise<void> {
    const ids = [...this.#watched.keys()];
    if (ids.length === 0) return;
    const { docker, label } = this.#options;
    const query = { all: true, filters: JSON.stringify({ label: [label] }) };
    const found = await ask("list containers", docker.listContainers(query));
    const alive = new Set(found.filter(({ State }) => ALIVE.has(State)).map(({ Id }) => Id));
    for (const id of ids) if (!alive.has(id)) this.#ended(id, { code: undefined });
  }

  #take(line: string): void {
    const { Actor: actor } = JSON.parse(line) as {
      readonly Actor?: { readonly ID: string; readonly Attributes: Record<string, string> };
    };
    if (actor === undefined) return;
    const code = actor.Attributes["exitCode"];
    this.#ended(actor.ID, { code: code === undefined ? undefined : Number(code) });
  }

  #ended(id: string, end: ContainerEnd): void {
    this.#watched.get(id)?.end(end);
    this.#watched.delete(id);
  }
}
