/** Instances on a file system of their own for a test file, served without a driver around them. */
import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { connectPlatform, type Postmaster, type StopMode, startPostmaster } from "@aerodb/postgres";
import { newSecret, silent } from "@aerodb/runtime";
import type pg from "pg";
import { expect } from "vitest";
import type { InstanceSpec } from "../instance-spec.ts";
import { sampleSpec } from "../sample-spec.ts";
import { EngineShelf } from "./engine-shelf.ts";
import { InstanceStore } from "./instance-store.ts";
import { mountsUnder } from "./mounts.ts";
import { runProgram } from "./run-program.ts";
import {
  devicesUnder,
  lacks,
  type ThrowawayFileSystem,
  throwawayFileSystem,
} from "./throwaway-file-system.ts";
import { detectVolumeMeans, type LimitMeans } from "./volume-means.ts";

export interface StoreCase {
  readonly on: "plain" | "xfs" | "btrfs";
  readonly means: LimitMeans;
  /** Why a test cannot have it here. */
  readonly lack: string | undefined;
}

const ON: readonly Omit<StoreCase, "lack">[] = [
  { on: "plain", means: "loop" },
  { on: "xfs", means: "loop" },
  { on: "btrfs", means: "btrfs" },
];
const START_DEADLINE_MS = 60_000;

/** File systems that homes are on, and what holds limits there. */
export function storeCases(): Promise<readonly StoreCase[]> {
  return Promise.all(ON.map(async (each) => ({ ...each, lack: await lacks(each.on) })));
}

export class ThrowawayStore {
  readonly home: string;
  readonly engines: string;
  readonly rootPassword = newSecret();
  store: InstanceStore;
  /** Why limits cannot be held here; undefined when they can. */
  noLimit: string | undefined;
  readonly #case: StoreCase;
  readonly #fileSystem: ThrowawayFileSystem;
  readonly #shelf: EngineShelf;
  readonly #servers = new Map<InstanceId, Postmaster>();
  readonly #clients = new Map<InstanceId, pg.Client>();

  constructor(about: StoreCase, fileSystem: ThrowawayFileSystem) {
    this.#case = about;
    this.#fileSystem = fileSystem;
    this.home = join(fileSystem.directory, "home");
    this.engines = join(this.home, "engines");
    const { engines: directory, rootPassword } = this;
    this.#shelf = new EngineShelf({ directory, search: {}, rootPassword });
    this.store = this.another();
  }

  /** What the next agent on this home would have. */
  another(): InstanceStore {
    return new InstanceStore({
      home: this.home,
      shelf: this.#shelf,
      uids: { base: 62_000_000, count: 100 },
      logger: silent,
      limitMeans: this.#case.means,
      isServed: async () => false,
    });
  }

  async prepare(): Promise<void> {
    await mkdir(this.home);
    await chmod(this.home, 0o711);
    await this.store.recover();
    await this.#shelf.ready(18);
    const { means } = this.#case;
    const { hardLimits } = await detectVolumeMeans(this.home);
    this.noLimit = hardLimits.includes(means) ? undefined : `no ${means} limits here`;
  }

  remove(): Promise<void> {
    return this.#fileSystem.remove();
  }

  async made(change: Partial<InstanceSpec> = {}): Promise<InstanceSpec> {
    const spec = sampleSpec(change);
    await this.store.make(spec);
    return spec;
  }

  /** Starts a server and connects to it as the superuser. */
  async start(spec: InstanceSpec): Promise<pg.Client> {
    const { engine, place, owner } = await this.store.furnish(spec);
    const { data, socketDirectory, lock, log } = place;
    const files = { dataDirectory: data, socketDirectory, lockFile: lock, logFile: log };
    const settings = { engine, ...files, ...(owner ? { owner } : {}) };
    const server = await startPostmaster(settings, AbortSignal.timeout(START_DEADLINE_MS));
    this.#servers.set(spec.id, server);
    await this.store.confirmDurable(spec.id);
    const client = await connectPlatform({ socketDirectory, password: this.rootPassword });
    this.#clients.set(spec.id, client);
    return client;
  }

  async stop(id: InstanceId, mode: StopMode = "fast"): Promise<void> {
    await this.#clients.get(id)?.end();
    this.#clients.delete(id);
    await this.#servers.get(id)?.stop(mode);
    this.#servers.delete(id);
  }

  /** Clones made ahead. */
  async spares(): Promise<string[]> {
    return (await readdir(join(this.home, "spares"))).filter((name) => !name.startsWith("."));
  }

  async destroyAll(): Promise<void> {
    for (const id of [...this.#servers.keys()]) await this.stop(id, "immediate");
    for (const id of await this.store.ids()) await this.store.destroy(id);
  }

  /** Counts what is left on the machine, without asking the store. */
  async expectNothingLeft(): Promise<void> {
    expect(await readdir(join(this.home, "instances"))).toEqual([]);
    expect(await mountsUnder(this.home)).toEqual([]);
    expect(await devicesUnder(this.home)).toEqual([]);
    if (this.#case.on !== "btrfs") return;
    const { directory } = this.#fileSystem;
    const listed = await runProgram("btrfs", ["subvolume", "list", directory]);
    expect(listed.split("\n").filter((line) => line.includes("instances/"))).toEqual([]);
  }
}

export async function throwawayStore(about: StoreCase): Promise<ThrowawayStore> {
  const made = new ThrowawayStore(about, await throwawayFileSystem(about.on));
  await made.prepare();
  return made;
}
