/**
 * Where the tables of an instance's tenants are: in a plain directory, or in a volume that cannot
 * grow over the instance's limit. Which it is follows from the note of its limit alone, so that a
 * death at any step leaves one of the two whole and the other to be removed.
 */
import { realpath } from "node:fs/promises";
import { Fault } from "@aerodb/model";
import { copyTree, flushFileSystem, giveTree, type Owner, pointTablespace } from "@aerodb/postgres";
import { failpoint } from "@aerodb/runtime";
import { BTRFS_VOLUMES } from "./btrfs-volume.ts";
import { treeDiskBytes } from "./file-sizes.ts";
import { readHostDisk, requireRoom } from "./host-reserve.ts";
import { type SpacePlace, spacePlaceOf } from "./layout.ts";
import { LOOP_VOLUMES } from "./loop-volume.ts";
import { removeTree } from "./remove-tree.ts";
import { readLimit, type SpaceLimit, writeLimit } from "./space-limit.ts";
import {
  BALLAST_BYTES,
  exists,
  MIB,
  openFolders,
  type VolumeMaker,
  type VolumePlace,
  volumePlaceOf,
} from "./volume.ts";
import { detectVolumeMeans, type LimitMeans } from "./volume-means.ts";

/** How full the space of an instance is. */
export interface Fill {
  readonly usedBytes: bigint;
  /** 0: no limit. */
  readonly limitBytes: bigint;
  /** What can still be written, by the limit and by the host's disk. */
  readonly freeBytes: bigint;
}

/** What is said to wait for a restart when a limit cannot be set while the server runs. */
const STORAGE = "storage";
const MAKERS = { loop: LOOP_VOLUMES, btrfs: BTRFS_VOLUMES } as const;

export class InstanceSpaces {
  readonly #directory: string;
  readonly #wanted: LimitMeans | undefined;
  #best: Promise<VolumeMaker | undefined> | undefined;

  /** `directory` holds the instances; `wanted` is used where it works. */
  constructor(directory: string, wanted?: LimitMeans) {
    this.#directory = directory;
    this.#wanted = wanted;
  }

  /** Makes the data directory find the tablespace where it is. The server must not run. */
  async point(place: SpacePlace): Promise<void> {
    if (!(await exists(place.space))) return;
    // Instances' users cannot follow every link on the way to the home, and need not.
    const directory = await realpath(place.directory);
    await pointTablespace(place.data, await this.filesOf(spacePlaceOf(directory)));
  }

  /** Where the tablespace is. */
  async filesOf(place: SpacePlace): Promise<string> {
    const isInVolume = (await this.volumeOf(place)) !== undefined;
    return isInVolume ? volumePlaceOf(place.space).files : place.files;
  }

  /** Where its volume is; undefined when it is in none. */
  async volumeOf(place: SpacePlace): Promise<string | undefined> {
    const maker = hardMaker(await readLimit(place.limit));
    return maker === undefined ? undefined : volumePlaceOf(place.space).volume;
  }

  /**
   * Makes the space of an instance whose server is down hold so much; 0: as much as the host has.
   */
  async arrange(
    place: SpacePlace,
    storageMiB: number,
    options: { readonly owner: Owner | undefined; readonly flush: boolean },
  ): Promise<void> {
    // Made before there were tablespaces: its tables are in the data directory.
    if (!(await exists(place.space))) return;
    const limit = await readLimit(place.limit);
    if (limit === undefined && storageMiB === 0) return;
    const maker = hardMaker(limit);
    if (maker !== undefined) return this.#reopen(place, maker, storageMiB);
    const best = storageMiB === 0 ? undefined : await this.#maker();
    if (best === undefined) return this.#setSoft(place, storageMiB);
    await this.#moveIn(place, best, { ...options, storageMiB });
  }

  /** Makes a space usable after a restart of the machine. */
  async open(place: SpacePlace): Promise<void> {
    await hardMaker(await readLimit(place.limit))?.open(volumePlaceOf(place.space));
  }

  /** Gives the space of an instance that was never started to the user it will run as. */
  async give(place: SpacePlace, owner: Owner): Promise<void> {
    if ((await this.volumeOf(place)) !== undefined) {
      await openFolders(volumePlaceOf(place.space), owner);
    }
    await giveTree(await this.filesOf(place), owner);
  }

  /** Gives back what a space holds of the machine. Its server must be down. */
  async close(place: SpacePlace): Promise<void> {
    await hardMaker(await readLimit(place.limit))?.close(volumePlaceOf(place.space));
  }

  /** Sets another limit, while the server may run. Returns what waits until it is started again. */
  async resize(place: SpacePlace, storageMiB: number): Promise<readonly string[]> {
    const limit = await readLimit(place.limit);
    if ((limit?.storageMiB ?? 0) === storageMiB) return [];
    const maker = hardMaker(limit);
    if (limit !== undefined && maker !== undefined) {
      requireGrowth(limit, storageMiB);
      await this.#grow(place, maker, storageMiB);
      return [];
    }
    if (storageMiB > 0 && (await exists(place.space)) && (await this.#maker())) return [STORAGE];
    await this.#setSoft(place, storageMiB);
    return [];
  }

  async fill(place: SpacePlace): Promise<Fill> {
    const limit = await readLimit(place.limit);
    const limitBytes = (limit?.storageMiB ?? 0) * MIB;
    const host = Math.max(0, (await readHostDisk(place.directory)).freeBytes);
    const maker = hardMaker(limit);
    const volume = volumePlaceOf(place.space);
    if (maker === undefined) {
      const used = await treeDiskBytes((await exists(place.files)) ? place.files : place.base);
      const left = limitBytes === 0 ? host : Math.max(0, limitBytes - Number(used));
      return fillOf(Number(used), limitBytes, Math.min(host, left));
    }
    await maker.open(volume);
    const free = await maker.freeBytes(volume, limitBytes);
    return fillOf(Math.max(0, limitBytes - free), limitBytes, Math.min(host, free));
  }

  /** What its volume can still hold, whatever the host's disk can; its server runs. */
  async volumeFreeBytes(place: SpacePlace): Promise<number | undefined> {
    const limit = await readLimit(place.limit);
    const limitBytes = (limit?.storageMiB ?? 0) * MIB;
    return hardMaker(limit)?.freeBytes(volumePlaceOf(place.space), limitBytes);
  }

  /** Makes room to delete in, in a space that is full. Returns how many bytes that gave at most. */
  async releaseBallast(place: SpacePlace): Promise<number> {
    const limit = await readLimit(place.limit);
    const limitBytes = (limit?.storageMiB ?? 0) * MIB;
    return (await hardMaker(limit)?.dropBallast(volumePlaceOf(place.space), limitBytes)) ?? 0;
  }

  /** Takes that room back, if there is enough again. Returns whether the ballast is whole. */
  async restoreBallast(place: SpacePlace): Promise<boolean> {
    const limit = await readLimit(place.limit);
    const limitBytes = (limit?.storageMiB ?? 0) * MIB;
    return (await hardMaker(limit)?.takeBallast(volumePlaceOf(place.space), limitBytes)) ?? true;
  }

  /** What holds the limit of an instance, as `storage:loop`. */
  async walls(place: SpacePlace): Promise<readonly string[]> {
    const maker = hardMaker(await readLimit(place.limit));
    return maker === undefined ? [] : [`storage:${maker.name}`];
  }

  /** Removes what a death left beside the space that counts. */
  async recover(place: SpacePlace): Promise<void> {
    const limit = await readLimit(place.limit);
    if (hardMaker(limit) === undefined) await removeVolume(place.space);
    else await removeTree(place.files);
  }

  async #moveIn(
    place: SpacePlace,
    maker: VolumeMaker,
    options: {
      readonly storageMiB: number;
      readonly owner: Owner | undefined;
      readonly flush: boolean;
    },
  ): Promise<void> {
    const { storageMiB, owner } = options;
    const volume = volumePlaceOf(place.space);
    const usedBytes = Number(await treeDiskBytes(place.files));
    if (usedBytes > storageMiB * MIB) throw tooSmall(place, usedBytes, storageMiB);
    await requireRoom(this.#directory, usedBytes + BALLAST_BYTES);
    await maker.make(volume, storageMiB * MIB);
    await openFolders(volume, owner);
    await copyTree(place.files, volume.files, owner);
    await failpoint("agent.volume.filled");
    if (options.flush) await flushFileSystem(volume.volume, place.directory);
    const { flush } = options;
    await writeLimit(place.limit, { means: maker.name, storageMiB }, { flush });
    await failpoint("agent.volume.counts");
    await removeTree(place.files);
  }

  async #reopen(place: SpacePlace, maker: VolumeMaker, storageMiB: number): Promise<void> {
    const volume = volumePlaceOf(place.space);
    await maker.open(volume);
    const limit = await readLimit(place.limit);
    if (limit !== undefined && storageMiB > limit.storageMiB) {
      await this.#grow(place, maker, storageMiB);
    }
    // A server that cannot write what it recovers does not come up, and nobody could delete.
    const limitBytes = (limit?.storageMiB ?? 0) * MIB;
    if ((await maker.freeBytes(volume, limitBytes)) < MIB) {
      await maker.dropBallast(volume, limitBytes);
    }
  }

  async #grow(place: SpacePlace, maker: VolumeMaker, storageMiB: number): Promise<void> {
    const volume = volumePlaceOf(place.space);
    await maker.open(volume);
    await maker.grow(volume, storageMiB * MIB);
    await writeLimit(place.limit, { means: maker.name, storageMiB });
    await failpoint("agent.volume.resized");
  }

  async #setSoft(place: SpacePlace, storageMiB: number): Promise<void> {
    await writeLimit(place.limit, storageMiB === 0 ? undefined : { means: "none", storageMiB });
  }

  #maker(): Promise<VolumeMaker | undefined> {
    this.#best ??= detectVolumeMeans(this.#directory).then(({ hardLimits }) => {
      const best = hardLimits.find((name) => name === this.#wanted) ?? hardLimits[0];
      return best === undefined ? undefined : MAKERS[best];
    });
    return this.#best;
  }
}

/** Removes a directory of an instance with all that is in it, a volume included. */
export async function removeInstanceTree(directory: string): Promise<void> {
  await removeVolume(spacePlaceOf(directory).space);
  await removeTree(directory);
}

/** Removes the volume in a space, whichever means made it. */
async function removeVolume(space: string): Promise<void> {
  const place: VolumePlace = volumePlaceOf(space);
  if (await exists(place.image)) return LOOP_VOLUMES.remove(place);
  if (await exists(place.volume)) await BTRFS_VOLUMES.remove(place);
}

function hardMaker(limit: SpaceLimit | undefined): VolumeMaker | undefined {
  return limit === undefined || limit.means === "none" ? undefined : MAKERS[limit.means];
}

function requireGrowth(limit: SpaceLimit, storageMiB: number): void {
  if (storageMiB > limit.storageMiB) return;
  const wish = storageMiB === 0 ? "be without a limit" : `shrink to ${storageMiB} MiB`;
  throw new Fault(
    "UNAVAILABLE",
    `Its volume of ${limit.storageMiB} MiB cannot ${wish}: ` +
      "keep the limit or raise it, or move the tenant to a new instance.",
  );
}

function tooSmall(place: SpacePlace, usedBytes: number, storageMiB: number): Fault {
  return new Fault(
    "UNAVAILABLE",
    `The data in ${place.files} takes ${Math.ceil(usedBytes / MIB)} MiB, more than its limit of ` +
      `${storageMiB} MiB: raise the limit, or delete some of it first.`,
  );
}

function fillOf(usedBytes: number, limitBytes: number, freeBytes: number): Fill {
  return {
    usedBytes: BigInt(Math.round(usedBytes)),
    limitBytes: BigInt(limitBytes),
    freeBytes: BigInt(Math.round(freeBytes)),
  };
}
