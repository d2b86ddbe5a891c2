/**
 * A volume is a small file system of one instance, no larger than its limit. Its tenants' tables
 * live in it, and nothing else: the data directory and the WAL stay outside, so that a full volume
 * is an error of one statement and never the end of a server.
 *
 *   <space>/volume           the volume; the agent's own
 *   <space>/volume/files     the tablespace; the instance's user's own
 *   <space>/volume/ballast   what the volume has over its limit, see `dropBallast`
 *   <space>/volume.img       what the volume is made of, where that is a file
 */
import { chmod, chown, lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Owner } from "@aerodb/postgres";

export interface VolumePlace {
  readonly volume: string;
  readonly files: string;
  readonly ballast: string;
  readonly image: string;
}

/**
 * One way to make volumes. Each method is safe to repeat after a death at any step of it. The
 * caller keeps two of them from working on one volume at once.
 */
export interface VolumeMaker {
  readonly name: "loop" | "btrfs";
  /** Makes and opens an empty volume that holds so much. What a dead agent left goes first. */
  make(place: VolumePlace, limitBytes: number): Promise<void>;
  /** Makes a volume that is on disk usable, as after a restart of the machine. */
  open(place: VolumePlace): Promise<void>;
  /** Gives back what an open volume holds of the machine. Nothing may use it. */
  close(place: VolumePlace): Promise<void>;
  /** Makes an open volume hold more while it is used. */
  grow(place: VolumePlace, limitBytes: number): Promise<void>;
  /** What can still be written to it, its ballast not counted. */
  freeBytes(place: VolumePlace, limitBytes: number): Promise<number>;
  /** Gives a full volume room to delete and vacuum in, over its limit. Returns how much at most. */
  dropBallast(place: VolumePlace, limitBytes: number): Promise<number>;
  /** Takes that room back, unless it is in use. Returns whether it is back. */
  takeBallast(place: VolumePlace, limitBytes: number): Promise<boolean>;
  /** Closes and removes it, however much of it there is. */
  remove(place: VolumePlace): Promise<void>;
}

export const MIB = 1_048_576;
/** Enough for what Postgres writes while it deletes and vacuums. */
export const BALLAST_BYTES = 16 * MIB;

export function volumePlaceOf(space: string): VolumePlace {
  const volume = join(space, "volume");
  return {
    volume,
    files: join(volume, "files"),
    ballast: join(volume, "ballast"),
    image: join(space, "volume.img"),
  };
}

/** Lets the instance's user pass through the volume to the files in it, which are its own. */
export async function openFolders(place: VolumePlace, owner: Owner | undefined): Promise<void> {
  await mkdir(place.files, { recursive: true, mode: 0o700 });
  await chmod(place.volume, owner === undefined ? 0o700 : 0o710);
  if (owner === undefined) return;
  await chown(place.volume, 0, owner.gid);
  await chown(place.files, owner.uid, owner.gid);
}

/** What a file takes on disk. */
export function diskBytes(about: { readonly blocks: number } | undefined): number {
  return (about?.blocks ?? 0) * 512;
}

export function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
