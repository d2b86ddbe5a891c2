/** The containers of one agent's instances, as Docker knows them. */
import { createHash } from "node:crypto";
import { Fault, type InstanceId, isId } from "@aerodb/model";
import { SESSIONS_LEAVE_MS } from "@aerodb/postgres";
import type Docker from "dockerode";
import type { InstanceSpec } from "../../instance-spec.ts";
import type { StopMode } from "../driver.ts";
import {
  AGENT_LABEL,
  type ContainerPlan,
  containerLimits,
  containerName,
  containerSettings,
  INSTANCE_LABEL,
} from "./container-settings.ts";
import { wallsAround } from "./container-walls.ts";
import { ask, unless } from "./docker-calls.ts";

/** A container that is there, whatever it does. */
export interface FoundContainer {
  readonly containerId: string;
  readonly state: "created" | "running" | "ended";
}

/** A container that runs. */
export interface RunningContainer {
  readonly containerId: string;
  /** Of its first process, on the host. */
  readonly pid: number;
  /** What is in force around it. */
  readonly walls: readonly string[];
}

const ALREADY = 304;
const NOT_FOUND = 404;
const CONFLICT = 409;
/** What has a server wait for its sessions. */
const SMART = "SIGTERM";
/** What the other signals mean to it, gentlest first. */
const SIGNALS = ["SIGINT", "SIGQUIT", "SIGKILL"] as const;

export class InstanceContainers {
  readonly #docker: Docker;
  readonly #agent: string;

  constructor(docker: Docker, home: string) {
    this.#docker = docker;
    this.#agent = createHash("sha256").update(home).digest("hex").slice(0, 12);
  }

  /** What all of them carry, and nobody else's. */
  get label(): string {
    return `${AGENT_LABEL}=${this.#agent}`;
  }

  async list(): Promise<ReadonlyMap<InstanceId, FoundContainer>> {
    const query = { all: true, filters: JSON.stringify({ label: [this.label] }) };
    const found = await ask("list containers", this.#docker.listContainers(query));
    const entries = found.flatMap(({ Id, State, Labels }) => {
      const id = Labels[INSTANCE_LABEL] ?? "";
      if (!isId("ins", id)) return [];
      return [[id, { containerId: Id, state: stateOf(State) }] as const];
    });
    return new Map(entries);
  }

  async find(id: InstanceId): Promise<FoundContainer | undefined> {
    const container = this.#docker.getContainer(containerName(id));
    const found = await unless([NOT_FOUND], ask(`look at ${id}`, container.inspect()));
    return found && { containerId: found.Id, state: stateOf(found.State.Status) };
  }

  /** Undefined when it does not run any more. */
  async running(containerId: string): Promise<RunningContainer | undefined> {
    const container = this.#docker.getContainer(containerId);
    const found = await unless([NOT_FOUND], ask("look at a container", container.inspect()));
    if (found === undefined || !found.State.Running) return undefined;
    const { Pid: pid } = found.State;
    return { containerId, pid, walls: await wallsAround(found.HostConfig, pid) };
  }

  /**
   * Makes a container without starting it, and returns its id; undefined when there is one already.
   * Throws a fault of status 404 when its image is gone.
   */
  async create(plan: Omit<ContainerPlan, "agent">): Promise<string | undefined> {
    const settings = containerSettings({ ...plan, agent: this.#agent });
    const made = ask(`make a container of ${plan.spec.id}`, this.#docker.createContainer(settings));
    return (await unless([CONFLICT], made))?.id;
  }

  /** Does nothing when it runs already. */
  async start(containerId: string): Promise<void> {
    const starting = this.#docker.getContainer(containerId).start();
    await unless([ALREADY], ask("start a container", starting));
  }

  /** Removes a container, and ends what runs in it. Safe to repeat. */
  async remove(containerId: string): Promise<void> {
    const removing = this.#docker.getContainer(containerId).remove({ force: true });
    // A conflict: somebody else is removing it.
    await unless([NOT_FOUND, CONFLICT], ask("remove a container", removing));
  }

  /** Resolves once the server is down, which is by the deadline, and its container gone. */
  async stop(id: InstanceId, mode: StopMode, deadlineMs: number): Promise<void> {
    const found = await this.find(id);
    if (found === undefined) return;
    if (found.state === "running") await this.#end(found.containerId, mode, deadlineMs);
    await this.remove(found.containerId);
  }

  async #end(containerId: string, mode: StopMode, deadlineMs: number): Promise<void> {
    const container = this.#docker.getContainer(containerId);
    const ended = container.wait();
    ended.catch(() => undefined);
    const signals = mode === "immediate" ? SIGNALS.slice(1) : SIGNALS;
    // The gentle way gets half of the time: a shutdown checkpoint may have much to write.
    const patience = signals.map((_, at) => deadlineMs / 2 ** Math.min(at + 1, signals.length - 1));
    const tries = signals.map((signal, at) => ({ signal, ms: patience[at] ?? 0 }));
    const gentlest = mode === "smart" ? [{ signal: SMART, ms: SESSIONS_LEAVE_MS }] : [];
    for (const { signal, ms } of [...gentlest, ...tries]) {
      const killing = ask("end a server", container.kill({ signal }));
      await unless([NOT_FOUND, CONFLICT], killing);
      if (await isOverWithin(ended, ms)) return;
    }
    const sentence = `Waited ${deadlineMs} ms for the server in ${containerId} to end.`;
    throw new Fault("OPERATION_TIMED_OUT", sentence);
  }

  async resize(id: InstanceId, spec: InstanceSpec): Promise<void> {
    const container = this.#docker.getContainer(containerName(id));
    await ask(`resize ${id}`, container.update(containerLimits(spec)));
  }
}

/** Docker's word for it, in ours: what is paused still holds its place. */
function stateOf(word: string): FoundContainer["state"] {
  if (word === "created") return "created";
  return word === "running" || word === "paused" ? "running" : "ended";
}

async function isOverWithin(ended: Promise<unknown>, ms: number): Promise<boolean> {
  try {
    await unless([NOT_FOUND], ask("end a server", ended, ms));
    return true;
  } catch (error) {
    if (error instanceof Fault && error.code === "OPERATION_TIMED_OUT") return false;
    throw error;
  }
}
