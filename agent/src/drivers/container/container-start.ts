/**
 * Starts an instance in a container, or waits for the one that runs already. A container serves one
 * start: what is left of an earlier one is waited for or removed, never started again.
 */
import { writeFile } from "node:fs/promises";
import { Fault, type InstanceId, messageOf } from "@aerodb/model";
import { type Owner, saidNothing } from "@aerodb/postgres";
import { failpoint, type Logger, monotonicMs, sleep } from "@aerodb/runtime";
import type { InstanceSpec } from "../../instance-spec.ts";
import type { Furnished, InstanceStore } from "../../storage/instance-store.ts";
import type { RunningInstance } from "../driver.ts";
import { tablespacesOf } from "../tablespaces.ts";
import type { ContainerEnd, ContainerWatch } from "./container-watch.ts";
import { statusOf } from "./docker-calls.ts";
import type { EngineImages } from "./engine-image.ts";
import type { InstanceContainers } from "./instance-containers.ts";
import { LOCK_HELD } from "./launcher.ts";
import { clearTraces, lastLines, layOut, saysReady, sizeOf } from "./server-files.ts";

export interface StartPorts {
  readonly store: InstanceStore;
  readonly containers: InstanceContainers;
  readonly images: EngineImages;
  readonly watch: ContainerWatch;
  /** Where the launcher is. */
  readonly launcher: () => Promise<string>;
  /** What runs in a container; undefined when it ended meanwhile. */
  readonly describe: (id: InstanceId, container: string) => Promise<RunningInstance | undefined>;
  readonly logger: Logger;
}

interface Wait {
  readonly deadline: number;
  readonly signal: AbortSignal;
}

const START_DEADLINE_MS = 60_000;
const LONGEST_PAUSE_MS = 100;
const NOT_FOUND = 404;

/** Returns what runs in a container whose server accepts connections. */
export async function startInContainer(
  ports: StartPorts,
  spec: InstanceSpec,
  signal: AbortSignal,
): Promise<RunningInstance> {
  await ports.watch.open();
  const wait = { deadline: monotonicMs() + START_DEADLINE_MS, signal };
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const running = await attempt(ports, spec, wait);
    if (running !== undefined) return running;
    if (monotonicMs() >= wait.deadline) throw tooLate(spec.id, "the end of an earlier server");
    await sleep(pauseMs, signal);
  }
}

/** Undefined when it is worth trying again: something of an earlier server is still ending. */
async function attempt(
  ports: StartPorts,
  spec: InstanceSpec,
  wait: Wait,
): Promise<RunningInstance | undefined> {
  const { containers, watch } = ports;
  const found = await containers.find(spec.id);
  switch (found?.state) {
    case undefined:
      return launch(ports, spec, wait);
    case "running": {
      const ended = watch.watch(found.containerId);
      // It may have ended before it was watched.
      if ((await containers.running(found.containerId)) === undefined) {
        watch.forget(found.containerId);
        return undefined;
      }
      const end = await readyOrEnded(ports, spec.id, ended, wait);
      // What a killed server said of itself stays: it may be gone for all that.
      return end === undefined ? ports.describe(spec.id, found.containerId) : undefined;
    }
    case "created": // By a start that went no further: an instance is started by one at a time.
    case "ended":
      await containers.remove(found.containerId);
      return undefined;
  }
}

async function launch(
  ports: StartPorts,
  spec: InstanceSpec,
  wait: Wait,
): Promise<RunningInstance | undefined> {
  const { store, containers, watch } = ports;
  const furnished = await store.furnish(spec);
  const { place } = furnished;
  const owner = furnished.owner ?? ownUser();
  await layOut(place, owner);
  if (!(await clearTraces(place))) return undefined;
  const logStart = await sizeOf(place.log);
  await failpoint("agent.instance.start");
  const container = await create(ports, spec, furnished, owner);
  if (container === undefined) return undefined;

  const ended = watch.watch(container);
  await failpoint("agent.container.created");
  try {
    await containers.start(container);
    await failpoint("agent.container.started");
    const end = await readyOrEnded(ports, spec.id, ended, wait);
    if (end === undefined) return await adopt(ports, spec.id, container);
    if (end.code !== LOCK_HELD) {
      const words = await lastLines(place.log, logStart);
      const said = words || saidNothing(await lastLines(place.log, 0));
      throw new Fault("UNAVAILABLE", failure(spec.id, end, said));
    }
  } catch (error) {
    await dropContainer(ports, container);
    throw error;
  }
  await dropContainer(ports, container);
  return undefined;
}

/** A server that has just said that it is ready. */
async function adopt(
  ports: StartPorts,
  id: InstanceId,
  container: string,
): Promise<RunningInstance> {
  await failpoint("agent.instance.started");
  const running = await ports.describe(id, container);
  if (running !== undefined) return running;
  throw new Fault("UNAVAILABLE", `The server of ${id} ended as it got ready.`);
}

/** Of a start that came to nothing. What cannot be removed now is removed by the next start. */
async function dropContainer(ports: StartPorts, container: string): Promise<void> {
  ports.watch.forget(container);
  await ports.containers.remove(container).catch((error: unknown) => {
    ports.logger.warn({ container, because: messageOf(error) }, "could not remove a container");
  });
}

/** Undefined when there is a container already. */
async function create(
  { images, containers, launcher: where }: StartPorts,
  spec: InstanceSpec,
  { engine, place }: Furnished,
  owner: Owner,
): Promise<string | undefined> {
  const launcher = await where();
  const tablespaces = await tablespacesOf(place);
  for (let again = false; ; again = true) {
    const image = await images.ready(engine);
    await writeFile(place.engine, image.version);
    try {
      return await containers.create({ spec, place, owner, image, launcher, tablespaces });
    } catch (error) {
      // Somebody removed the image since it was made.
      if (again || statusOf(error) !== NOT_FOUND) throw error;
      images.forget(engine);
    }
  }
}

/** Undefined once the server accepts connections; else how it ended before that. */
async function readyOrEnded(
  { store }: StartPorts,
  id: InstanceId,
  ended: Promise<ContainerEnd>,
  { deadline, signal }: Wait,
): Promise<ContainerEnd | undefined> {
  const place = store.place(id);
  for (let pauseMs = 3; ; pauseMs = Math.min(pauseMs * 1.2, LONGEST_PAUSE_MS)) {
    const end = await Promise.race([ended, sleep(pauseMs, signal)]);
    if (end !== undefined) return end;
    if (await saysReady(place)) return undefined;
    if (monotonicMs() < deadline) continue;
    throw tooLate(id, "connections to be accepted");
  }
}

/** Without the right to change owners, everything runs as the agent's own user. */
function ownUser(): Owner {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

function failure(id: InstanceId, { code }: ContainerEnd, words: string): string {
  const how = code === undefined ? "ended" : `ended with code ${code}`;
  return `The server of ${id} ${how} before it was ready: ${words}`;
}

function tooLate(id: InstanceId, expecting: string): Fault {
  return new Fault("OPERATION_TIMED_OUT", `Waited too long for ${expecting} of ${id}.`);
}
