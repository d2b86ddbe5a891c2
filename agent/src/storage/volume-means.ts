/**
 * What a host can do with the file system that holds its instances, found out by trying: names of
 * file systems and of programs say little about what a kernel, a container or a user may do.
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, lstat, mkdir, realpath, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { canChangeOwner } from "@aerodb/postgres";
import { tryBtrfsLimit, trySnapshot } from "./btrfs-volume.ts";
import { tryLoopVolume } from "./loop-volume.ts";
import { fileSystemOf, unmountUnder } from "./mounts.ts";
import { succeeds } from "./run-program.ts";

/** What keeps an instance's data from growing over its limit, the best first. */
export type LimitMeans = "loop" | "btrfs";

export interface VolumeMeans {
  /** Names of what works here: `reflink`, `btrfs`, `loop`, and always `copy`. */
  readonly volumeMeans: ("btrfs" | "reflink" | "loop" | "copy")[];
  /** Which of them can hold data to a hard limit, the one in use first. */
  readonly hardLimits: LimitMeans[];
  /** Type of the file system, as `ext4`. */
  readonly fileSystem: string;
  /** Whether files share their blocks with a copy until one of them is changed. */
  readonly reflink: boolean;
}

/** What an interrupted attempt leaves; removed when an agent starts. */
export const PROBE_PREFIX = ".probe-";
/** To try a loop volume takes a hundred milliseconds, and what worked goes on working. */
const worked = new Set<string>();

/**
 * Tries everything in a directory, or in the nearest above it that is there. What is tried is
 * removed again. Never throws for what does not work.
 */
export async function detectVolumeMeans(directory: string): Promise<VolumeMeans> {
  const place = await nearest(directory);
  const probe = join(place, `${PROBE_PREFIX}${randomUUID().slice(0, 8)}`);
  const fileSystem = await fileSystemOf(place);
  if (!(await succeeds(mkdir(probe, { mode: 0o700 })))) {
    return { volumeMeans: ["copy"], hardLimits: [], fileSystem, reflink: false };
  }
  try {
    const reflink = await succeeds(tryReflink(probe));
    const isBtrfs = fileSystem === "btrfs";
    const snapshot = isBtrfs && (await succeeds(trySnapshot(probe)));
    const btrfsLimit = snapshot && canChangeOwner() && (await succeeds(tryBtrfsLimit(probe)));
    const loop = await once(`loop ${place}`, () => tryLoopVolume(probe));
    return {
      volumeMeans: namesOf({ btrfs: snapshot, reflink, loop, copy: true }),
      hardLimits: namesOf({ loop, btrfs: btrfsLimit }),
      fileSystem,
      reflink,
    };
  } finally {
    await removeProbe(probe);
  }
}

/** Removes what an interrupted attempt left. */
export async function removeProbe(probe: string): Promise<void> {
  await succeeds(unmountUnder(probe));
  await succeeds(rm(probe, { recursive: true, force: true }));
}

function namesOf<Name extends string>(means: Readonly<Record<Name, boolean>>): Name[] {
  return (Object.keys(means) as Name[]).filter((name) => means[name]);
}

async function once(what: string, attempt: () => Promise<void>): Promise<boolean> {
  if (!canChangeOwner()) return false;
  if (worked.has(what)) return true;
  const works = await succeeds(attempt());
  if (works) worked.add(what);
  return works;
}

/** Throws unless files in a directory can share their blocks. */
export async function tryReflink(probe: string): Promise<void> {
  const from = join(probe, "from");
  await writeFile(from, Buffer.alloc(16_384, 1));
  await copyFile(from, join(probe, "to"), constants.COPYFILE_FICLONE_FORCE);
}

async function nearest(directory: string): Promise<string> {
  const about = await lstat(directory).catch(() => undefined);
  if (about !== undefined || dirname(directory) === directory) return realpath(directory);
  return nearest(dirname(directory));
}
