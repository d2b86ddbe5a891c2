/** The file systems that hold something of the agent: how large they are and what is left. */
import { randomUUID } from "node:crypto";
import { lstat, mkdir, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileSystemOf } from "../storage/mounts.ts";
import { PROBE_PREFIX, tryReflink } from "../storage/volume-means.ts";

export type Holding = "instances" | "engines" | "sockets";

/** Where each of them is, or will be. */
export type Places = Readonly<Record<Holding, string>>;

export interface HeldFileSystem {
  readonly holds: readonly Holding[];
  readonly directory: string;
  readonly type: string;
  readonly sizeBytes: bigint;
  /** In coarse steps: what is written every second is no news. */
  readonly freeBytes: bigint;
  readonly reflink: boolean;
}

const MIB = 1_048_576n;
const LEAST_STEP_BYTES = 64n * MIB;
const STEPS = 100n;

/** Each file system once, with all that it holds. */
export async function readFileSystems(places: Places): Promise<readonly HeldFileSystem[]> {
  const byDevice = new Map<number, { holds: Holding[]; directory: string }>();
  for (const [holding, path] of Object.entries(places)) {
    const { directory, device } = await nearest(path);
    const known = byDevice.get(device) ?? { holds: [], directory };
    known.holds.push(holding as Holding);
    byDevice.set(device, known);
  }
  return Promise.all(
    [...byDevice.values()].map(async ({ holds, directory }) => ({
      holds,
      directory,
      type: await fileSystemOf(directory),
      reflink: await canReflink(directory),
      ...(await spaceOf(directory)),
    })),
  );
}

/** The same with what is free now. */
export function readSpace(
  fileSystems: readonly HeldFileSystem[],
): Promise<readonly HeldFileSystem[]> {
  return Promise.all(
    fileSystems.map(async (each) => ({ ...each, ...(await spaceOf(each.directory)) })),
  );
}

async function spaceOf(directory: string) {
  const { blocks, bavail, bsize } = await statfs(directory, { bigint: true });
  const sizeBytes = blocks * bsize;
  return { sizeBytes, freeBytes: coarse(bavail * bsize, sizeBytes) };
}

/** Rounded down to a hundredth of the size, or to 64 MiB where that is more. */
export function coarse(freeBytes: bigint, sizeBytes: bigint): bigint {
  const step = sizeBytes / STEPS > LEAST_STEP_BYTES ? sizeBytes / STEPS : LEAST_STEP_BYTES;
  return (freeBytes / step) * step;
}

async function canReflink(directory: string): Promise<boolean> {
  const probe = join(directory, `${PROBE_PREFIX}${randomUUID().slice(0, 8)}`);
  try {
    await mkdir(probe, { mode: 0o700 });
    await tryReflink(probe);
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe, { recursive: true, force: true });
  }
}

/** The directory, or the nearest above it that is there. */
async function nearest(path: string): Promise<{ directory: string; device: number }> {
  const about = await lstat(path).catch(() => undefined);
  if (about !== undefined) return { directory: path, device: about.dev };
  return nearest(dirname(path));
}
