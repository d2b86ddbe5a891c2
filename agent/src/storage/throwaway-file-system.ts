/** A file system of its own for a test: an image in the directory for temporary files, mounted. */
import { chmod, mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "@aerodb/model";
import { canChangeOwner } from "@aerodb/postgres";
import { readLoopDevices, unmountUnder } from "./mounts.ts";
import { runProgram } from "./run-program.ts";

export interface ThrowawayFileSystem {
  /** Let through by all, so that instances' users can reach what is theirs. */
  readonly directory: string;
  remove(): Promise<void>;
}

const SIZE_BYTES = 3_000_000_000;

/** A directory with nothing special, or on a file system of a type. Throws where that cannot be. */
export async function throwawayFileSystem(
  type: "plain" | "xfs" | "btrfs",
): Promise<ThrowawayFileSystem> {
  const above = await mkdtemp(join(tmpdir(), "aerodb-fs-"));
  await chmod(above, 0o711);
  const directory = join(above, "at");
  await mkdir(directory, { mode: 0o711 });
  const remove = async (): Promise<void> => {
    await unmountUnder(above);
    await rm(above, { recursive: true, force: true, maxRetries: 10 });
  };
  if (type === "plain") return { directory, remove };
  const image = join(above, "image");
  const file = await open(image, "w");
  await file.truncate(SIZE_BYTES);
  await file.close();
  try {
    await runProgram(`mkfs.${type}`, ["-q", image]);
    await runProgram("mount", ["-o", "loop", image, directory]);
    await chmod(directory, 0o711);
    if (type === "btrfs") await runProgram("btrfs", ["quota", "enable", directory]);
  } catch (error) {
    await remove();
    throw error;
  }
  return { directory, remove };
}

/** Why a test cannot have such a file system here; undefined when it can. */
export async function lacks(type: "plain" | "xfs" | "btrfs"): Promise<string | undefined> {
  if (type === "plain") return undefined;
  if (!canChangeOwner()) return `only root can mount ${type}`;
  try {
    await (await throwawayFileSystem(type)).remove();
    return undefined;
  } catch (error) {
    return `no ${type} here: ${messageOf(error)}`;
  }
}

/** Devices whose image is under a directory, the test's own left out. */
export async function devicesUnder(directory: string): Promise<readonly string[]> {
  const found = await readLoopDevices();
  return found.filter(({ image }) => image.startsWith(`${directory}/`)).map(({ image }) => image);
}
