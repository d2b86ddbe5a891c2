/**
 * What a host's disk keeps for itself. Volumes take room only as it is written to, so that all of
 * them together may be promised more than there is: nothing new is made once little is left.
 */
import { statfs } from "node:fs/promises";
import { Fault } from "@aerodb/model";
import { MIB } from "./volume.ts";

const RESERVE_PART = 20;
const MOST_RESERVE_BYTES = 2_048 * MIB;
/** Data, WAL and log of an instance that nobody has written to. */
export const BLANK_INSTANCE_BYTES = 32 * MIB;

export interface HostDisk {
  /** What may still be written before the reserve begins; negative when it has begun. */
  readonly freeBytes: number;
  readonly reserveBytes: number;
}

export async function readHostDisk(directory: string): Promise<HostDisk> {
  const { blocks, bavail, bsize } = await statfs(directory);
  const reserveBytes = Math.min((blocks * bsize) / RESERVE_PART, MOST_RESERVE_BYTES);
  return { freeBytes: bavail * bsize - reserveBytes, reserveBytes };
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
