/** Runs every instance as plain processes, each under a user of its own. */

import { basename, dirname } from "node:path";
import { Fault, type InstanceId } from "@aerodb/model";
import { type Enclosure, findPostmaster, type Postmaster, startPostmaster } from "@aerodb/postgres";
import { failpoint, type Logger } from "@aerodb/runtime";
import type { InstanceSpec } from "../../instance-spec.ts";
import { pidFileOf, Walls } from "../../limits/enclosure.ts";
import type { GivingWay } from "../../limits/giving-way.ts";
import { isStill } from "../../limits/group-files.ts";
import type { SandboxKind } from "../../limits/launch-words.ts";
import type { EngineShelf } from "../../storage/engine-shelf.ts";
import { servedIdentifier } from "../../storage/instance-origin.ts";
import { type Furnished, InstanceStore } from "../../storage/instance-store.ts";
import type { InstancePlace } from "../../storage/layout.ts";
import { readLog, rotateLog } from "../../storage/server-log.ts";
import {
  type FoundInstance,
  type InstanceDriver,
  type InstanceRecords,
  type LogPart,
  type ResourceUsage,
  type RunningInstance,
  type StopMode,
  type Survey,
  UNKNOWN_USAGE,
} from "../driver.ts";
import { takeSurvey } from "../survey.ts";
import { tablespacesOf } from "../tablespaces.ts";

export interface ProcessDriverOptions {
  readonly home: string;
  readonly shelf: EngineShelf;
  readonly uids: { readonly base: number; readonly count: number };
  readonly logger: Logger;
  /** The kind of sandbox to use; the best that works here when left out. */
  readonly sandbox?: SandboxKind | undefined;
}

/** A busy server has much to write before it is down. */
const STOP_DEADLINE_MS = 30_000;

export class ProcessDriver implements InstanceDriver {
  readonly name = "process";
  readonly #store: InstanceStore;
  readonly #walls: Walls;

  constructor(options: ProcessDriverOptions) {
    this.#walls = new Walls(options);
    this.#store = new InstanceStore({
      ...options,
      isServed: async (data) => {
        const id = basename(dirname(data)) as InstanceId;
        return (await findServer(this.#store.place(id))) !== undefined;
      },
    });
  }

  get records(): InstanceRecords {
    return this.#store.records;
  }

  async recover(served?: Pick<ReadonlySet<InstanceId>, "has">): Promise<void> {
    await this.#store.recover(served);
    await this.#walls.sweep();
  }

  async prepare(major: number): Promise<void> {
    await this.#store.prepare(major);
  }

  async list(): Promise<readonly FoundInstance[]> {
    const ids = await this.#store.ids();
    return Promise.all(
      ids.map(async (id) => {
        const postmaster = await findServer(this.#store.place(id));
        return { id, running: postmaster && (await this.#describe(id, postmaster)) };
      }),
    );
  }

  make(spec: InstanceSpec): Promise<void> {
    return this.#store.make(spec);
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<RunningInstance> {
    const found = await findServer(this.#store.place(spec.id));
    if (found !== undefined) return this.#describe(spec.id, found);

    const [furnished] = await Promise.all([this.#store.furnish(spec), this.#walls.prepare(spec)]);
    const { engine, place, owner } = furnished;
    await failpoint("agent.instance.start");
    const enclosure = await this.#enclose(spec, furnished);
    await rotateLog(place.log);
    await failpoint("agent.instance.enclosed");
    const postmaster = await startPostmaster(
      {
        engine,
        dataDirectory: place.data,
        socketDirectory: place.socketDirectory,
        lockFile: place.lock,
        logFile: place.log,
        enclosure,
        ...(owner ? { owner } : {}),
      },
      signal,
    );
    await failpoint("agent.instance.started");
    const running = await this.#describe(spec.id, postmaster);
    await this.#store.prepareNext(spec);
    return running;
  }

  async stop(id: InstanceId, mode: StopMode, deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    await failpoint("agent.instance.stop");
    const postmaster = await findServer(this.#store.place(id));
    await postmaster?.stop(mode, { deadlineMs });
    await failpoint("agent.instance.stopped");
    await this.#walls.release(id);
    await failpoint("agent.instance.released");
  }

  async resize(instance: RunningInstance, spec: InstanceSpec): Promise<readonly string[]> {
    await this.#walls.resize(spec, instance.pid);
    await failpoint("agent.instance.resized");
    return this.#store.resizeStorage(spec);
  }

  /** The regular visit to an instance: its log is looked after when it may have grown. */
  async usage({ id, pid }: RunningInstance, known?: ResourceUsage): Promise<ResourceUsage> {
    const usage = (await this.#walls.usage(id, pid, known)) ?? UNKNOWN_USAGE;
    if (!isStill(known, usage.cpuSeconds)) await rotateLog(this.#store.place(id).log);
    return usage;
  }

  giveWay({ id }: RunningInstance, pid: number): Promise<GivingWay | undefined> {
    return this.#walls.giveWay(id, pid);
  }

  log(
    id: InstanceId,
    options: { readonly cursor: string; readonly bytes: number },
  ): Promise<LogPart> {
    return readLog(this.#store.place(id).log, options);
  }

  async destroy(id: InstanceId): Promise<void> {
    await this.#endLeftovers(id);
    await this.#store.destroy(id);
  }

  async setAside(id: InstanceId, to: string): Promise<void> {
    await this.#endLeftovers(id);
    await this.#store.setAside(id, to);
  }

  /**
   * The next instance gets its user: of one whose server has ended nobody may be left. Throws
   * UNAVAILABLE where somebody is.
   */
  async #endLeftovers(id: InstanceId): Promise<void> {
    if ((await findServer(this.#store.place(id))) !== undefined) return;
    if (await this.#walls.release(id)) return;
    throw new Fault("UNAVAILABLE", `Processes of ${id} are left that cannot be ended.`);
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

  async #enclose(spec: InstanceSpec, { engine, place, owner }: Furnished): Promise<Enclosure> {
    return this.#walls.enclose({
      spec,
      engine,
      owner,
      dataDirectory: place.data,
      socketDirectory: place.socketDirectory,
      space: await tablespacesOf(place),
      directory: place.directory,
    });
  }

  async #describe(id: InstanceId, postmaster: Postmaster): Promise<RunningInstance> {
    await this.#store.confirmDurable(id);
    const { pid, exited } = postmaster;
    const place = this.#store.place(id);
    const { directory, socketDirectory } = place;
    const [engine, systemIdentifier, around, storage] = await Promise.all([
      this.#store.engineOf(id),
      servedIdentifier(place),
      this.#walls.wallsOf(id, pid, directory),
      this.#store.walls(id),
    ]);
    const walls = [...around, ...storage];
    return { id, pid, socketDirectory, engine, systemIdentifier, walls, exited };
  }
}

/** The server of an instance, in whatever sandbox it is. */
function findServer(place: InstancePlace): Promise<Postmaster | undefined> {
  const { data, directory, lock, socketDirectory } = place;
  const traces = { lockFile: lock, pidFile: pidFileOf(directory), socketDirectory };
  return findPostmaster(data, traces);
}
