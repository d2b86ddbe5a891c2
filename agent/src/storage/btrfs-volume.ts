/**
 * A volume that is a subvolume of the host's btrfs, limited by a quota group. It costs neither a
 * device nor a log of its own; but near its limit even writing to a file that is there may fail,
 * until the ballast is given up. Quotas are a matter of the whole file system: they are used where
 * somebody has enabled them, and never enabled here.
 */
import { lstat, mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import { treeDiskBytes } from "./file-sizes.ts";
import { removeTree } from "./remove-tree.ts";
import { runProgram, succeeds } from "./run-program.ts";
import {
  BALLAST_BYTES,
  exists,
  MIB,
  type VolumeMaker,
  type VolumePlace,
  volumePlaceOf,
} from "./volume.ts";

/** What the quota group counts besides the tenant's files. */
const NOTES_BYTES = 4 * MIB;
/** The root directory of every subvolume has this number. */
const SUBVOLUME_INODE = 256;

export const BTRFS_VOLUMES: VolumeMaker = {
  name: "btrfs",
  make,
  open: requireSubvolume,
  close: async () => undefined,
  grow,
  freeBytes,
  dropBallast,
  takeBallast,
  remove,
};

async function make(place: VolumePlace, limitBytes: number): Promise<void> {
  await remove(place);
  await createSubvolume(place.volume);
  await failpoint("agent.volume.subvolume");
  // Databases write to the middle of files: without this each write would move a block.
  await succeeds(runProgram("chattr", ["+C", place.volume]));
  await limit(place.volume, limitBytes + NOTES_BYTES);
  await failpoint("agent.volume.limited");
}

async function requireSubvolume(place: VolumePlace): Promise<void> {
  if (await isSubvolume(place.volume)) return;
  throw new Fault("UNAVAILABLE", `${place.volume} is no subvolume any more: restore it.`);
}

async function grow(place: VolumePlace, limitBytes: number): Promise<void> {
  await limit(place.volume, limitBytes + NOTES_BYTES);
}

/** No file: at its limit a subvolume does not even allow to truncate one. */
async function dropBallast(place: VolumePlace, limitBytes: number): Promise<number> {
  await limit(place.volume, limitBytes + NOTES_BYTES + BALLAST_BYTES);
  return BALLAST_BYTES;
}

async function takeBallast(place: VolumePlace, limitBytes: number): Promise<boolean> {
  if ((await freeBytes(place, limitBytes)) < MIB) return false;
  await limit(place.volume, limitBytes + NOTES_BYTES);
  return true;
}

async function freeBytes(place: VolumePlace, limitBytes: number): Promise<number> {
  return Math.max(0, limitBytes - Number(await treeDiskBytes(place.files)));
}

async function remove({ volume }: VolumePlace): Promise<void> {
  if (!(await exists(volume))) return;
  const id = await groupOf(volume);
  await removeTree(volume);
  // A quota group outlives its subvolume. That of a dead agent's counts nothing and limits nobody.
  if (id !== undefined)
    await succeeds(runProgram("btrfs", ["qgroup", "destroy", id, `${volume}/..`]));
}

async function limit(volume: string, bytes: number): Promise<void> {
  await runProgram("btrfs", ["qgroup", "limit", bytes.toString(), volume]);
}

async function groupOf(volume: string): Promise<string | undefined> {
  if (!(await isSubvolume(volume))) return undefined;
  const id = await runProgram("btrfs", ["inspect-internal", "rootid", volume]).catch(() => "");
  return id === "" ? undefined : `0/${id.trim()}`;
}

export async function createSubvolume(path: string): Promise<void> {
  await runProgram("btrfs", ["subvolume", "create", path]);
}

/** Makes a subvolume that shares every block with another until one of them is changed. */
export async function takeSnapshot(from: string, to: string): Promise<void> {
  await runProgram("btrfs", ["subvolume", "snapshot", from, to]);
}

async function isSubvolume(path: string): Promise<boolean> {
  const about = await lstat(path).catch(() => undefined);
  return about?.isDirectory() === true && about.ino === SUBVOLUME_INODE;
}

/** Makes a subvolume and a snapshot of it and removes both; throws what did not work. */
export async function trySnapshot(directory: string): Promise<void> {
  const [from, to] = [join(directory, "original"), join(directory, "snapshot")];
  await createSubvolume(from);
  await writeFile(join(from, "file"), "");
  await takeSnapshot(from, to);
  for (const path of [to, from]) await rm(path, { recursive: true });
}

/** Writes more than a limit allows; throws unless that is refused. */
export async function tryBtrfsLimit(directory: string): Promise<void> {
  const place = volumePlaceOf(directory);
  try {
    await createSubvolume(place.volume);
    await limit(place.volume, MIB);
    await mkdir(place.files);
    const file = await open(join(place.files, "file"), "w");
    const written = await succeeds(
      file.writeFile(Buffer.alloc(4 * MIB)).then(() => file.sync()),
    ).finally(() => file.close());
    if (written) throw new Fault("UNAVAILABLE", "A quota group did not stop a write.");
  } finally {
    await remove(place);
  }
}
