/**
 * Where instances are on disk, whatever runs them: made of a clone of the template, furnished for a
 * start, and destroyed. Drivers build on it.
 */
import { chmod, chown, lstat, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { Fault, type InstanceId } from "@aerodb/model";
import {
  canChangeOwner,
  type Engine,
  flushFileSystem,
  type InstanceShape,
  type Owner,
  requireChecksums,
  writeConfiguration,
} from "@aerodb/postgres";
import { failpoint, flushFolder, type Logger } from "@aerodb/runtime";
import { type AppliedSpec, appliedAtStart, type InstanceSpec } from "../instance-spec.ts";
import { readApplied, writeApplied } from "./applied-record.ts";
import { BlankInstances } from "./blank-instances.ts";
import type { EngineShelf } from "./engine-shelf.ts";
import { entriesOf, tailOf, treeBytes, writeMark } from "./file-sizes.ts";
import { foreignUids } from "./foreign-uids.ts";
import { BLANK_INSTANCE_BYTES, requireRoom, requireStartRoom } from "./host-reserve.ts";
import { requireOrigin, writeOrigin } from "./instance-origin.ts";
import { type Fill, InstanceSpaces, removeInstanceTree } from "./instance-space.ts";
import {
  type InstancePlace,
  isShortName,
  type Layout,
  layoutOf,
  placeOf,
  readEntry,
  type SpacePlace,
  shortNameOf,
  spacePlaceOf,
} from "./layout.ts";
import { putMark } from "./own-mark.ts";
import { removeTree } from "./remove-tree.ts";
import { setAside } from "./set-aside.ts";
import { closeStrayVolumes, findStrayVolumes } from "./stray-volumes.ts";
import { UidRange } from "./uid-range.ts";
import { exists } from "./volume.ts";
import { type LimitMeans, PROBE_PREFIX, removeProbe } from "./volume-means.ts";

export interface InstanceStoreOptions {
  readonly home: string;
  readonly shelf: EngineShelf;
  readonly uids: { readonly base: number; readonly count: number };
  readonly logger: Logger;
  /** What holds data to a limit where several means work; the best when left out. */
  readonly limitMeans?: LimitMeans;
  /** Whether a server works in this data directory: what it serves is not removed. */
  readonly isServed: (dataDirectory: string) => Promise<boolean>;
}

/** What a server needs to be started with. */
export interface Furnished {
  readonly engine: Engine;
  readonly place: InstancePlace;
  /** Whose the data is; undefined when all belongs to the agent's user. */
  readonly owner: Owner | undefined;
}

/** Instances' users pass through to what is theirs, and list nothing on the way. */
const PASSAGE = 0o711;

export class InstanceStore {
  readonly layout: Layout;
  readonly #options: InstanceStoreOptions;
  readonly #uids: UidRange;
  readonly #blanks: BlankInstances;
  /** Where the tables of tenants are, and what holds them to a limit. */
  readonly #spaces: InstanceSpaces;
  readonly #working = new Set<InstanceId>();
  /** Instances known to be on disk, and flushes under way for the others. */
  readonly #durable = new Set<InstanceId>();
  readonly #flushes = new Map<InstanceId, Promise<void>>();
  readonly #sizes = new Map<InstanceId, { readonly mark: string; readonly bytes: bigint }>();

  constructor(options: InstanceStoreOptions) {
    this.#options = options;
    this.layout = layoutOf(options.home);
    this.#uids = new UidRange(options.uids);
    this.#spaces = new InstanceSpaces(this.layout.instances, options.limitMeans);
    this.#blanks = new BlankInstances({
      directory: this.layout.spares,
      spaces: this.#spaces,
      logger: options.logger,
    });
  }

  /** Instances that are being made or destroyed now: their leftovers are none. */
  get working(): ReadonlySet<InstanceId> {
    return this.#working;
  }

  /**
   * Removes what an earlier agent left half made or half destroyed, and nothing of an instance that
   * has served somebody.
   */
  async recover(served: Pick<ReadonlySet<InstanceId>, "has"> = new Set()): Promise<void> {
    const { instances, run } = this.layout;
    for (const directory of [instances, run]) await makePassage(directory);
    this.#uids.avoid(await foreignUids(this.#options.uids));
    await this.#blanks.clear();
    for (const name of await entriesOf(instances)) {
      const entry = readEntry(name);
      if (name.startsWith(PROBE_PREFIX)) await removeProbe(`${instances}/${name}`);
      if (entry?.kind === "leftover") await this.#removeLeftovers(entry.id);
      if (entry?.kind !== "instance") continue;
      if (!served.has(entry.id) && (await this.#isUnfinished(entry.id))) {
        const { directory, gone } = this.place(entry.id);
        await rename(directory, gone);
        await this.#removeLeftovers(entry.id);
        continue;
      }
      const about = await lstat(this.place(entry.id).data).catch(() => undefined);
      if (about !== undefined) this.#uids.note(entry.id, about.uid);
      await this.#spaces.recover(this.place(entry.id));
    }
    const ids = await this.ids();
    await removeLeftSockets(run, ids);
    await closeStrayVolumes(await findStrayVolumes(this.layout, new Set(ids)));
  }

  /** Whether a clone may not have reached the disk and serves nobody: it is to be made anew. */
  async #isUnfinished(id: InstanceId): Promise<boolean> {
    const { durable, data } = this.place(id);
    return !(await exists(durable)) && !(await this.#options.isServed(data));
  }

  /** An engine that instances can run, with what they are cloned from. */
  async prepare(major: number): Promise<Engine> {
    return (await this.#options.shelf.ready(major)).engine;
  }

  /** Every instance with data on the host. */
  async ids(): Promise<readonly InstanceId[]> {
    const entries = (await entriesOf(this.layout.instances)).map(readEntry);
    return entries.flatMap((entry) => (entry?.kind === "instance" ? [entry.id] : []));
  }

  place(id: InstanceId): InstancePlace {
    return placeOf(this.layout, id);
  }

  /** Makes the data of a new instance, whole or not at all. Does nothing when it is there. */
  make(spec: InstanceSpec): Promise<void> {
    return this.#work(spec.id, () => this.#make(spec));
  }

  async #make(spec: InstanceSpec): Promise<void> {
    const place = this.place(spec.id);
    if (await exists(place.directory)) return;
    await failpoint("agent.instance.make");
    const { template } = await this.#options.shelf.ready(spec.engineMajor);
    await requireRoom(this.layout.instances, BLANK_INSTANCE_BYTES);
    const owner = this.#uids.reserve(spec.id);
    await removeInstanceTree(place.making);
    const { storageMiB } = spec;
    const systemIdentifier = await this.#blanks.make({ template, storageMiB }, place.making, owner);
    await failpoint("agent.instance.cloned");
    const making = spacePlaceOf(place.making);
    await mkdir(`${place.making}/log`, { mode: 0o700 });
    await writeOrigin(making.origin, { id: spec.id, systemIdentifier });
    await putMark(place.making, this.#options.home);
    // Both stay the agent's: the instance's user only passes through to its data.
    for (const path of [making.space, place.making]) await openPassage(path, owner);
    await failpoint("agent.instance.furnished");
    await rename(place.making, place.directory);
    // While the server starts; nothing is said of it before that has ended (confirmDurable).
    const flush = this.#flush(place);
    flush.catch(() => undefined);
    this.#flushes.set(spec.id, flush);
    await failpoint("agent.instance.made");
  }

  /** A volume is flushed before the file system that holds what it is made of. */
  async #flush(place: SpacePlace): Promise<void> {
    const within = await this.#spaces.volumeOf(place);
    await flushFileSystem(...(within === undefined ? [] : [within]), place.directory);
  }

  /** Writes what the server of an instance reads when it starts. Its server must not run. */
  async furnish(spec: InstanceSpec): Promise<Furnished> {
    const place = this.place(spec.id);
    const { shelf } = this.#options;
    const engine = await shelf.allowed((await shelf.ready(spec.engineMajor)).engine);
    const owner = this.#uids.reserve(spec.id);
    await requireStartRoom(this.layout.instances);
    await requireOrigin(spec.id, place);
    await requireChecksums(place.data);
    await this.#spaces.arrange(place, spec.storageMiB, { owner, flush: true });
    await this.#spaces.point(place);
    await Promise.all([
      this.records.configure(spec),
      this.records.note(spec.id, appliedAtStart(spec)),
      writeFile(place.engine, engine.version),
    ]);
    return { engine, place, owner };
  }

  /** What is kept beside an instance about its server. */
  readonly records = {
    configure: (spec: InstanceSpec): Promise<void> =>
      writeConfiguration(this.place(spec.id).data, shapeOf(spec), this.#uids.reserve(spec.id)),
    applied: (id: InstanceId): Promise<AppliedSpec | undefined> =>
      readApplied(this.place(id).applied),
    note: (id: InstanceId, applied: AppliedSpec): Promise<void> =>
      writeApplied(this.place(id).applied, applied),
    writeMark: async (id: InstanceId): Promise<string> => writeMark(this.place(id).data),
  };

  /** Makes a clone ahead soon, for the next instance of the same engine. */
  async prepareNext(spec: InstanceSpec): Promise<void> {
    const { template } = await this.#options.shelf.ready(spec.engineMajor);
    this.#blanks.refill({ template, storageMiB: spec.storageMiB });
  }

  /**
   * Gives back what stopped instances hold of the machine, and removes what was made ahead. Whoever
   * makes or starts an instance takes it again.
   */
  async release(): Promise<void> {
    await this.#blanks.clear();
    for (const id of await this.ids()) {
      const place = this.place(id);
      if (!(await this.#options.isServed(place.data))) await this.#spaces.close(place);
    }
  }

  /** Version of the engine that an instance was last started with. */
  engineOf(id: InstanceId): Promise<string> {
    return readFile(this.place(id).engine, "utf8").catch(() => "unknown");
  }

  /** Moves the data of an instance to a path, and removes what else there is of it. */
  setAside(id: InstanceId, to: string): Promise<void> {
    return this.#work(id, async () => {
      const place = this.place(id);
      if (await this.#options.isServed(place.data)) {
        throw new Fault("UNAVAILABLE", `The server of ${id} runs still.`);
      }
      if (await exists(place.directory)) await setAside(place.directory, to);
      await this.#forget(id);
    });
  }

  /** Removes all that there is of an instance. Its server must not run. */
  destroy(id: InstanceId): Promise<void> {
    return this.#work(id, async () => {
      const place = this.place(id);
      await failpoint("agent.instance.destroy");
      if (await this.#options.isServed(place.data)) {
        throw new Error(`bug: destroy of ${id} while its server runs`);
      }
      // Gone is gone: whatever happens from here on, no agent finds an instance there again.
      if (await exists(place.directory)) await rename(place.directory, place.gone);
      await failpoint("agent.instance.unlinked");
      await this.#forget(id);
      await failpoint("agent.instance.destroyed");
    });
  }

  async #forget(id: InstanceId): Promise<void> {
    await this.#removeLeftovers(id);
    this.#uids.free(id);
    this.#sizes.delete(id);
    this.#durable.delete(id);
    this.#flushes.delete(id);
  }

  lastWords(id: InstanceId, withinMs: number): Promise<string> {
    return tailOf(this.place(id).log, withinMs);
  }

  /** Bytes of the databases in an instance, from the sizes of files; undefined when it has none. */
  async storageBytes(id: InstanceId): Promise<bigint | undefined> {
    const place = this.place(id);
    if (!(await exists(place.data))) return undefined;
    const mark = writeMark(place.data);
    const known = this.#sizes.get(id);
    if (known?.mark === mark) return known.bytes;
    await this.#spaces.open(place);
    const files = await this.#spaces.filesOf(place);
    const bytes = (await treeBytes(place.base)) + (await treeBytes(files));
    this.#sizes.set(id, { mark, bytes });
    return bytes;
  }

  /**
   * Sets another storage limit, also while the server runs. Returns what waits for a restart.
   * Refuses with a reason what cannot be: a volume does not shrink.
   */
  resizeStorage(spec: InstanceSpec): Promise<readonly string[]> {
    return this.#spaces.resize(this.place(spec.id), spec.storageMiB);
  }

  /** How full an instance is. */
  fill(id: InstanceId): Promise<Fill> {
    return this.#spaces.fill(this.place(id));
  }

  /** What can still be written to the volume of an instance; undefined when it is in none. */
  volumeFreeBytes(id: InstanceId): Promise<number | undefined> {
    return this.#spaces.volumeFreeBytes(this.place(id));
  }

  /** Makes room to delete in, in an instance that is full. Returns how many bytes that gave. */
  releaseBallast(id: InstanceId): Promise<number> {
    return this.#spaces.releaseBallast(this.place(id));
  }

  /** Takes that room back once there is enough again. Returns whether the ballast is whole. */
  restoreBallast(id: InstanceId): Promise<boolean> {
    return this.#spaces.restoreBallast(this.place(id));
  }

  /** What holds an instance to its storage limit, as `storage:loop`. */
  walls(id: InstanceId): Promise<readonly string[]> {
    return this.#spaces.walls(this.place(id));
  }

  /**
   * Waits until an instance outlasts a power failure, and marks it so. Every running instance that
   * anybody hears of has gone through this: one without the mark was never acknowledged.
   */
  async confirmDurable(id: InstanceId): Promise<void> {
    if (this.#durable.has(id)) return;
    const { directory, durable } = this.place(id);
    if (!(await exists(durable))) {
      await (this.#flushes.get(id) ?? this.#flush(this.place(id))).finally(() => {
        this.#flushes.delete(id);
      });
      await flushFolder(this.layout.instances);
      await writeFile(durable, "", { flush: true });
      await flushFolder(directory);
    }
    this.#durable.add(id);
  }

  /** What an agent that starts finds the rest by is the last to go. */
  async #removeLeftovers(id: InstanceId): Promise<void> {
    const { making, gone, socketDirectory, directory } = this.place(id);
    const sockets = (await exists(directory)) ? [] : [socketDirectory];
    for (const path of [...sockets, making, gone]) await removeInstanceTree(path);
  }

  async #work(id: InstanceId, work: () => Promise<void>): Promise<void> {
    this.#working.add(id);
    try {
      await work();
    } finally {
      this.#working.delete(id);
    }
  }
}

function shapeOf(spec: InstanceSpec): InstanceShape {
  return {
    kind: spec.shared ? "shared" : "dedicated",
    engineMajor: spec.engineMajor,
    maxConnections: spec.maxConnections,
    memoryMiB: spec.memoryMiB,
    cpuMillis: spec.cpuMillis,
    readOnly: spec.readOnly !== undefined,
    settings: spec.settings,
  };
}

/** Removes places of sockets without an instance: an agent died when it had set that aside. */
async function removeLeftSockets(run: string, ids: readonly InstanceId[]): Promise<void> {
  const used = new Set(ids.map(shortNameOf));
  const left = (await entriesOf(run)).filter((name) => isShortName(name) && !used.has(name));
  for (const name of left) await removeTree(`${run}/${name}`);
}

/** A directory of ours that others pass through. Refuses one that somebody else put there. */
async function makePassage(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: PASSAGE });
  const about = await lstat(directory);
  if (!about.isDirectory() || about.uid !== process.geteuid?.()) {
    throw new Error(`${directory} belongs to somebody else: remove it or choose another home`);
  }
  await chmod(directory, canChangeOwner() ? PASSAGE : 0o700);
}

async function openPassage(directory: string, owner: Owner | undefined): Promise<void> {
  if (owner === undefined) return;
  await chown(directory, 0, owner.gid);
  await chmod(directory, 0o710);
}
