/**
 * Data that nobody answers for is moved here instead of deleted: `<home>/trash`, one directory for
 * each instance that was swept, named for when and what. It stays until an operator deletes it.
 */
import { chmod, mkdir, readdir, realpath, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type InstanceId, isId } from "@aerodb/model";
import { failpoint, flushFolder, now } from "@aerodb/runtime";
import { isUnder, mountsUnder, readLoopDevices, unmountUnder } from "./mounts.ts";
import { carriesMark } from "./own-mark.ts";
import { mountedAt, removeTree } from "./remove-tree.ts";

const NAME = /^\d{8}T\d{6}Z-(ins_[0-9a-z]{26})$/;

function trashOf(home: string): string {
  return join(home, "trash");
}

/** Where an instance's data goes when it is set aside now. */
export function trashPath(home: string, id: InstanceId): string {
  const at = now()
    .toISOString()
    .replace(/[-:]|\.\d+/g, "");
  return join(trashOf(home), `${at}-${id}`);
}

/**
 * Moves a directory into the trash. Its server must not run. Its volume is unmounted first: the
 * files that it is made of are moved along. Throws UNAVAILABLE where anything else is mounted in
 * it.
 */
export async function setAside(directory: string, to: string): Promise<void> {
  const trash = dirname(to);
  await mkdir(trash, { recursive: true, mode: 0o700 });
  // Users of instances that come later may have the number of this one's.
  await chmod(trash, 0o700);
  await unmountVolumes(directory);
  await failpoint("agent.trash.unmounted");
  await rename(directory, to);
  await flushFolder(trash);
  await failpoint("agent.trash.moved");
}

/** Unmounts what is made of files in the directory itself. */
async function unmountVolumes(directory: string): Promise<void> {
  const other = await foreignMountIn(directory);
  if (other !== undefined) throw mountedAt(other);
  await unmountUnder(directory);
}

/** Where something is mounted in a directory that is not made of files in it. */
export async function foreignMountIn(directory: string): Promise<string | undefined> {
  const mounts = await mountsUnder(directory);
  if (mounts.length === 0) return undefined;
  const [real, devices] = await Promise.all([realpath(directory), readLoopDevices()]);
  const own = new Set(
    devices.filter(({ image }) => isUnder(image, real)).map(({ device }) => device),
  );
  return mounts.find(({ source }) => !own.has(source))?.at;
}

/** What is in the trash of a home, oldest first. */
export async function listTrash(home: string): Promise<readonly string[]> {
  const names = await readdir(trashOf(home)).catch((): string[] => []);
  return names
    .filter(isTrashName)
    .toSorted()
    .map((name) => join(trashOf(home), name));
}

/** Why a path is not deleted for good; undefined once it is. */
export async function purge(home: string, path: string): Promise<string | undefined> {
  if (dirname(path) !== trashOf(home) || !isTrashName(basename(path))) {
    return `${path} is not in the trash of this host.`;
  }
  if (!(await carriesMark(path, home))) {
    return `${path} does not carry the mark of this agent: look what it is and remove it by hand.`;
  }
  await removeTree(path);
  return undefined;
}

function isTrashName(name: string): boolean {
  const [, id = ""] = NAME.exec(name) ?? [];
  return isId("ins", id);
}
