/**
 * What a host's disk keeps for itself. Volumes take room only as it is written to, so that all of
 * them together may be promised more than there is: nothing new is made once little is left.
 */
import { statfs } from "node:fs/promises";
import { Fault } from "@aerodb/model";
import { SCARCE_WAL_MIB } from "@aerodb/postgres";
import { MIB } from "./volume.ts";

const RESERVE_PART = 20;
const MOST_RESERVE_BYTES = 2_048 * MIB;
/**
 * What instances write as WAL when no more is to be written: even who reads does, for pages that it
 * marks. A server that begins to hold its WAL to `SCARCE_WAL_MIB` does not at once.
 */
const WAL_BYTES = 2 * SCARCE_WAL_MIB * MIB;
/** What is written before it is noticed that there is no room. */
const UNNOTICED_BYTES = 128 * MIB;
/** Small disks keep no more than this part. */
const MOST_RESERVE_PART = 8;
/** Data, WAL and log of an instance that nobody has written to. */
export const BLANK_INSTANCE_BYTES = 32 * MIB;

/** A server that starts on less may end with a PANIC, and leaves even less. */
const START_BYTES = 32 * MIB;

export interface HostDisk {
  /** What may still be written before the reserve begins; negative when it has begun. */
  readonly freeBytes: number;
  readonly reserveBytes: number;
}

/** `instances`: how many write to it besides what is asked for. */
export async function readHostDisk(directory: string, instances = 0): Promise<HostDisk> {
  const { blocks, bavail, bsize } = await statfs(directory);
  const reserveBytes = reserveOf(blocks * bsize, instances);
  return { freeBytes: bavail * bsize - reserveBytes, reserveBytes };
}

/** What a disk keeps back so that the servers on it do not end for lack of room. */
export function reserveOf(diskBytes: number, instances: number): number {
  const usual = Math.min(diskBytes / RESERVE_PART, MOST_RESERVE_BYTES);
  if (instances === 0) return usual;
  const wal = UNNOTICED_BYTES + instances * WAL_BYTES;
  return Math.max(usual, Math.min(wal, diskBytes / MOST_RESERVE_PART));
}

/** Throws UNAVAILABLE when writing so much more would begin the host's reserve. */
export async function requireRoom(directory: string, bytes: number): Promise<void> {
  const { freeBytes, reserveBytes } = await readHostDisk(directory);
  if (freeBytes >= bytes) return;
  const [wanted, kept] = [bytes, reserveBytes].map((each) => Math.ceil(each / MIB));
  const left = Math.max(0, Math.floor(freeBytes / MIB));
  throw new Fault(
    "UNAVAILABLE",
    `The disk of ${directory} has ${left} MiB left besides its reserve of ${kept} MiB, and ` +
      `${wanted} MiB are needed: remove what is not needed, or add to the disk.`,
  );
}

/** Throws UNAVAILABLE when a server would not even find the room to start. */
export async function requireStartRoom(directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize >= START_BYTES) return;
  const [wanted, left] = [START_BYTES, bavail * bsize].map((each) => Math.floor(each / MIB));
  throw new Fault(
    "UNAVAILABLE",
    `The disk of ${directory} has ${left} MiB left, and a server needs ${wanted} MiB to start: ` +
      "remove what is not needed, or add to the disk.",
  );
}
