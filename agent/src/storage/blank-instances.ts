/**
 * Data of new instances: a clone of the template with a system identifier of its own, made by the
 * quickest means the file system has, in a volume where it has a limit. One of each kind is made
 * ahead of its use: a new instance then begins with a rename instead of some 300 new files, a third
 * of what making one takes.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "@aerodb/model";
import { copyTemplate, giveTree, individualize, type Owner } from "@aerodb/postgres";
import { failpoint, type Logger, later } from "@aerodb/runtime";
import { createSubvolume, takeSnapshot, trySnapshot } from "./btrfs-volume.ts";
import { entriesOf } from "./file-sizes.ts";
import { type InstanceSpaces, removeInstanceTree } from "./instance-space.ts";
import { type SpacePlace, spacePlaceOf } from "./layout.ts";
import { fileSystemOf } from "./mounts.ts";
import { succeeds } from "./run-program.ts";

/** What blanks differ in. */
export interface BlankKind {
  readonly template: string;
  /** The limit of its space; 0: none. */
  readonly storageMiB: number;
}

interface Spare {
  readonly path: string;
  readonly systemIdentifier: bigint;
}

/** Copying is not to slow down what is being made: it waits until nothing was for so long. */
const QUIET_MS = 250;
/** Plans are few. Whoever has limits of their own waits for their instances. */
const MOST_KINDS = 6;

export class BlankInstances {
  readonly #directory: string;
  readonly #spaces: InstanceSpaces;
  readonly #logger: Logger;
  readonly #spares = new Map<string, Promise<Spare | undefined>>();
  /** For each template, a subvolume that snapshots are taken of; undefined where none can be. */
  readonly #seeds = new Map<string, Promise<string | undefined>>();
  /** Kinds to make a spare of once nothing was made for a moment. */
  readonly #wanted = new Map<string, BlankKind>();
  #making = 0;
  #snapshots: Promise<boolean> | undefined;
  #cancelRefill: () => void = () => undefined;

  /** `directory` is for this alone, and on the file system of the instances. */
  constructor(options: {
    readonly directory: string;
    readonly spaces: InstanceSpaces;
    readonly logger: Logger;
  }) {
    this.#directory = options.directory;
    this.#spaces = options.spaces;
    this.#logger = options.logger;
  }

  /**
   * Removes what was made ahead. That of an earlier agent is not trusted: it may have died before
   * it was whole.
   */
  async clear(): Promise<void> {
    this.#cancelRefill();
    this.#wanted.clear();
    await Promise.all(this.#spares.values());
    this.#spares.clear();
    this.#seeds.clear();
    for (const name of await entriesOf(this.#directory)) {
      await removeInstanceTree(join(this.#directory, name));
    }
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
  }

  /**
   * Makes the data of a new instance in a directory that is not there yet, and returns its system
   * identifier. A death leaves half of it: the caller removes that.
   */
  async make(kind: BlankKind, directory: string, owner: Owner | undefined): Promise<bigint> {
    this.#making += 1;
    this.#cancelRefill();
    try {
      return await this.#makeNow(kind, directory, owner);
    } finally {
      this.#making -= 1;
      this.#refillSoon();
    }
  }

  /** Makes a spare soon unless there is one; asking again puts it off, and so does making. */
  refill(kind: BlankKind): void {
    const key = keyOf(kind);
    if (!this.#spares.has(key)) this.#wanted.set(key, kind);
    this.#refillSoon();
  }

  #refillSoon(): void {
    this.#cancelRefill();
    if (this.#making > 0 || this.#wanted.size === 0) return;
    this.#cancelRefill = later(QUIET_MS, () => {
      for (const [key, kind] of this.#wanted) {
        if (this.#spares.has(key) || this.#spares.size >= MOST_KINDS) continue;
        this.#spares.set(key, this.#makeSpare(kind));
      }
      this.#wanted.clear();
    });
  }

  async #makeNow(kind: BlankKind, directory: string, owner: Owner | undefined): Promise<bigint> {
    const spare = await this.#take(kind);
    if (spare === undefined) return this.#make(kind, directory, owner);
    await rename(spare.path, directory);
    await failpoint("agent.blank.taken");
    await this.#give(spacePlaceOf(directory), owner);
    return spare.systemIdentifier;
  }

  async #take(kind: BlankKind): Promise<Spare | undefined> {
    const spare = this.#spares.get(keyOf(kind));
    this.#spares.delete(keyOf(kind));
    return await spare;
  }

  async #makeSpare(kind: BlankKind): Promise<Spare | undefined> {
    const name = randomUUID();
    const draft = join(this.#directory, `.draft-${name}`);
    const path = join(this.#directory, name);
    try {
      const systemIdentifier = await this.#make(kind, draft, undefined);
      await rename(draft, path);
      return { path, systemIdentifier };
    } catch (error) {
      // Whoever wanted it makes their own, and meets the same error where it is told.
      this.#logger.warn({ because: messageOf(error) }, "could not make a clone ahead");
      await succeeds(removeInstanceTree(draft));
      return undefined;
    }
  }

  async #make(
    { template, storageMiB }: BlankKind,
    directory: string,
    owner: Owner | undefined,
  ): Promise<bigint> {
    const systemIdentifier = await this.#clone(template, directory, owner);
    // Whoever makes an instance of it flushes all of it at once.
    const space = { owner, flush: false };
    await this.#spaces.arrange(spacePlaceOf(directory), storageMiB, space);
    return systemIdentifier;
  }

  async #clone(template: string, directory: string, owner: Owner | undefined): Promise<bigint> {
    const place = spacePlaceOf(directory);
    if (await this.#snapshot(template, directory)) {
      await this.#give(place, owner);
    } else {
      for (const path of [directory, place.space]) await mkdir(path, { mode: 0o700 });
      await copyTemplate(template, place, owner);
    }
    return individualize(place.data);
  }

  async #give(place: SpacePlace, owner: Owner | undefined): Promise<void> {
    if (owner === undefined) return;
    await giveTree(place.data, owner);
    await this.#spaces.give(place, owner);
  }

  async #snapshot(template: string, directory: string): Promise<boolean> {
    const seed = await this.#seedOf(template);
    if (seed === undefined) return false;
    if (await succeeds(takeSnapshot(seed, directory))) return true;
    // Somebody removed the seed: the next instance gets another.
    this.#seeds.delete(template);
    await rm(directory, { recursive: true, force: true });
    return false;
  }

  #seedOf(template: string): Promise<string | undefined> {
    const known = this.#seeds.get(template);
    if (known !== undefined) return known;
    const making = this.#makeSeed(template);
    this.#seeds.set(template, making);
    return making;
  }

  async #makeSeed(template: string): Promise<string | undefined> {
    this.#snapshots ??= canSnapshot(this.#directory);
    if (!(await this.#snapshots)) return undefined;
    const name = createHash("sha256").update(template).digest("hex").slice(0, 12);
    const draft = join(this.#directory, `.draft-seed-${name}`);
    const seed = join(this.#directory, `.seed-${name}`);
    try {
      await createSubvolume(draft);
      const place = spacePlaceOf(draft);
      await mkdir(place.space, { mode: 0o700 });
      await copyTemplate(template, place);
      await rename(draft, seed);
      return seed;
    } catch (error) {
      this.#logger.warn({ because: messageOf(error) }, "could not make a subvolume to clone");
      await succeeds(rm(draft, { recursive: true, force: true }));
      return undefined;
    }
  }
}

function keyOf({ template, storageMiB }: BlankKind): string {
  return `${storageMiB} ${template}`;
}

async function canSnapshot(directory: string): Promise<boolean> {
  if ((await fileSystemOf(directory)) !== "btrfs") return false;
  const probe = join(directory, `.draft-probe-${randomUUID()}`);
  await mkdir(probe, { mode: 0o700 });
  return succeeds(trySnapshot(probe)).finally(() => rm(probe, { recursive: true, force: true }));
}
