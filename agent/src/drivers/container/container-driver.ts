/**
 * Runs every instance in a container of its own, made for one start and gone with it. What lasts is
 * on the host, where the process driver would keep it too: data, socket, lock and log.
 */
import { join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { failpoint, type Logger } from "@aerodb/runtime";
import type Docker from "dockerode";
import type { InstanceSpec } from "../../instance-spec.ts";
import { isStill } from "../../limits/group-files.ts";
import { backendMemoryBytes } from "../../limits/group-limits.ts";
import { limitMemory } from "../../limits/process-limits.ts";
import type { EngineShelf } from "../../storage/engine-shelf.ts";
import { servedIdentifier } from "../../storage/instance-origin.ts";
import { InstanceStore } from "../../storage/instance-store.ts";
import { readLog, rotateLog } from "../../storage/server-log.ts";
import type {
  FoundInstance,
  InstanceDriver,
  InstanceRecords,
  LogPart,
  ResourceUsage,
  RunningInstance,
  StopMode,
  Survey,
} from "../driver.ts";
import { takeSurvey } from "../survey.ts";
import { startInContainer } from "./container-start.ts";
import { ContainerCounters } from "./container-usage.ts";
import { ContainerWatch } from "./container-watch.ts";
import { openDocker, untilDockerAnswers } from "./docker-calls.ts";
import { EngineImages } from "./engine-image.ts";
import { InstanceContainers } from "./instance-containers.ts";
import { ensureLauncher } from "./launcher.ts";
import { isLocked } from "./server-files.ts";

export interface ContainerDriverOptions {
  readonly home: string;
  readonly shelf: EngineShelf;
  readonly uids: { readonly base: number; readonly count: number };
  readonly logger: Logger;
  /** Where Docker listens. */
  readonly dockerSocket: string;
  /** An image to use instead of building one; `{major}` in it stands for the major version. */
  readonly image: string | undefined;
  /** Whether an image under the version floor is refused. */
  readonly production: boolean;
  /** Ends the listening to Docker's events. */
  readonly signal: AbortSignal;
}

const STOP_DEADLINE_MS = 30_000;
/** After a boot, Docker may come up after the agent. */
const DOCKER_DEADLINE_MS = 30_000;

export class ContainerDriver implements InstanceDriver {
  readonly name = "container";
  readonly records: InstanceRecords;
  readonly #docker: Docker;
  readonly #store: InstanceStore;
  readonly #containers: InstanceContainers;
  readonly #images: EngineImages;
  readonly #watch: ContainerWatch;
  readonly #counters = new ContainerCounters();
  readonly #directory: string;
  readonly #logger: Logger;
  #launcher: Promise<string> | undefined;

  constructor(options: ContainerDriverOptions) {
    const { home, logger, signal, image, production } = options;
    const docker = openDocker(options.dockerSocket);
    const directory = join(home, "containers");
    this.#logger = logger;
    this.#docker = docker;
    this.#directory = directory;
    this.#store = new InstanceStore({ ...options, isServed: isLocked });
    this.records = this.#store.records;
    this.#containers = new InstanceContainers(docker, home);
    this.#images = new EngineImages({ docker, directory, reference: image, production, logger });
    const { label } = this.#containers;
    this.#watch = new ContainerWatch({ docker, label, logger, signal });
  }

  async recover(served?: Pick<ReadonlySet<InstanceId>, "has">): Promise<void> {
    await untilDockerAnswers(this.#docker, DOCKER_DEADLINE_MS);
    await this.#watch.open();
    // What runs is adopted; what never ran, or did not go when it ended, is nothing.
    for (const { state, containerId } of (await this.#containers.list()).values()) {
      if (state !== "running") await this.#containers.remove(containerId);
    }
    await this.#store.recover(served);
  }

  async prepare(major: number): Promise<void> {
    const engine = await this.#store.prepare(major);
    await untilDockerAnswers(this.#docker, DOCKER_DEADLINE_MS);
    await this.#images.ready(engine);
  }

  async list(): Promise<readonly FoundInstance[]> {
    const [ids, containers] = await Promise.all([this.#store.ids(), this.#containers.list()]);
    return Promise.all(
      ids.map(async (id) => {
        const found = containers.get(id);
        if (found?.state !== "running") return { id };
        return { id, running: await this.#describe(id, found.containerId) };
      }),
    );
  }

  make(spec: InstanceSpec): Promise<void> {
    return this.#store.make(spec);
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<RunningInstance> {
    const ports = {
      store: this.#store,
      containers: this.#containers,
      images: this.#images,
      watch: this.#watch,
      launcher: () => this.#ensureLauncher(),
      describe: (id: InstanceId, container: string) => this.#describe(id, container),
      logger: this.#logger,
    };
    const running = await startInContainer(ports, spec, signal);
    await this.#store.prepareNext(spec);
    return running;
  }

  async stop(id: InstanceId, mode: StopMode, deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    await failpoint("agent.instance.stop");
    await this.#containers.stop(id, mode, deadlineMs);
    await failpoint("agent.instance.stopped");
  }

  async resize(instance: RunningInstance, spec: InstanceSpec): Promise<readonly string[]> {
    await Promise.all([
      this.#containers.resize(instance.id, spec),
      limitMemory(instance.pid, backendMemoryBytes(spec)),
    ]);
    await failpoint("agent.instance.resized");
    return this.#store.resizeStorage(spec);
  }

  /** The regular visit to an instance: its log is looked after when it may have grown. */
  async usage(running: RunningInstance, known?: ResourceUsage): Promise<ResourceUsage> {
    const usage = await this.#counters.usage(running, known);
    if (!isStill(known, usage.cpuSeconds)) await rotateLog(this.#store.place(running.id).log);
    return usage;
  }

  /** Groups of containers are their engine's: nobody else moves what is in them. */
  async giveWay(): Promise<undefined> {
    return undefined;
  }

  log(
    id: InstanceId,
    options: { readonly cursor: string; readonly bytes: number },
  ): Promise<LogPart> {
    return readLog(this.#store.place(id).log, options);
  }

  async destroy(id: InstanceId): Promise<void> {
    await this.#removeEnded(id);
    await this.#store.destroy(id);
  }

  async setAside(id: InstanceId, to: string): Promise<void> {
    await this.#removeEnded(id);
    await this.#store.setAside(id, to);
  }

  lastWords(id: InstanceId, withinMs: number): Promise<string> {
    return this.#store.lastWords(id, withinMs);
  }

  storageBytes(id: InstanceId): Promise<bigint | undefined> {
    return this.#store.storageBytes(id);
  }

  volumeFreeBytes(id: InstanceId): Promise<number | undefined> {
    return this.#store.volumeFreeBytes(id);
  }

  releaseBallast(id: InstanceId): Promise<number> {
    return this.#store.releaseBallast(id);
  }

  restoreBallast(id: InstanceId): Promise<boolean> {
    return this.#store.restoreBallast(id);
  }

  release(): Promise<void> {
    return this.#store.release();
  }

  survey(): Promise<Survey> {
    return takeSurvey(this.#store.layout, this.#store.working);
  }

  /** Copied once by each agent, when the first instance is started. */
  #ensureLauncher(): Promise<string> {
    this.#launcher ??= ensureLauncher(this.#directory);
    this.#launcher.catch(() => {
      this.#launcher = undefined;
    });
    return this.#launcher;
  }

  async #removeEnded(id: InstanceId): Promise<void> {
    const found = await this.#containers.find(id);
    if (found === undefined || found.state === "running") return;
    await this.#containers.remove(found.containerId);
  }

  /** Undefined when the container ended meanwhile. */
  async #describe(id: InstanceId, containerId: string): Promise<RunningInstance | undefined> {
    const ended = this.#watch.watch(containerId);
    const found = await this.#containers.running(containerId);
    if (found === undefined) {
      this.#watch.forget(containerId);
      return undefined;
    }
    await this.#store.confirmDurable(id);
    const place = this.#store.place(id);
    const [engine, systemIdentifier, storage] = await Promise.all([
      this.#store.engineOf(id),
      servedIdentifier(place),
      this.#store.walls(id),
    ]);
    return {
      id,
      pid: found.pid,
      socketDirectory: place.socketDirectory,
      engine,
      systemIdentifier,
      walls: [...found.walls, ...storage],
      exited: ended.then(() => undefined),
    };
  }
}
