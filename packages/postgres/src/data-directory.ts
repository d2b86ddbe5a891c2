import { constants, copyFileSync, lchownSync, mkdirSync } from "node:fs";
import { chmod, chown, copyFile, lchown, mkdir, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { buildDirectory } from "./built-directory.ts";
import { newSystemIdentifier, readSystemIdentifier, setSystemIdentifier } from "./control-file.ts";
import type { Owner } from "./owner.ts";
import { tablespaceLink } from "./tablespace.ts";
import { listTree, pathOf } from "./tree.ts";

/** How many files are copied before the event loop gets its turn: about 4 ms of work. */
const SLICE_FILES = 32;
const CLONE_BLOCKS = constants.COPYFILE_FICLONE;

/** Where the parts of a blank instance go. */
export interface BlankPlace {
  /** The data directory; made, its parent must exist. */
  readonly data: string;
  /** The tablespace's directory; made, its parent must exist. */
  readonly files: string;
}

/**
 * Makes a new data directory from a template without a tablespace, with a system identifier of its
 * own, which is returned. The parent of `target` must exist. It is there whole and on disk, or not
 * at all; one that is there already is left as it is. The clone belongs to `owner`, or to this
 * process's user. With `flush: false` the caller flushes, before anybody relies on it.
 */
export async function cloneDataDirectory(
  template: string,
  target: string,
  options: { readonly owner?: Owner; readonly flush?: boolean } = {},
): Promise<bigint> {
  async function build(draft: string): Promise<void> {
    await copyTree(template, draft, options.owner);
    await setSystemIdentifier(draft, newSystemIdentifier());
    await chmod(draft, 0o700);
    if (options.owner !== undefined) await chown(draft, options.owner.uid, options.owner.gid);
  }
  await buildDirectory(target, build, { flush: options.flush ?? true });
  return readSystemIdentifier(target);
}

/** Where a template has the files of its tablespace. */
export function templateFiles(template: string): string {
  return join(dirname(template), "space");
}

/**
 * Copies a template with a tablespace: data and files, as the template's own. Whoever calls makes
 * it whole or not at all, and then an instance of its own with `individualize`.
 */
export async function copyTemplate(
  template: string,
  place: BlankPlace,
  owner?: Owner,
): Promise<void> {
  for (const path of [place.data, place.files]) {
    await mkdir(path, { mode: 0o700 });
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  }
  await copyTree(template, place.data, owner);
  await copyTree(templateFiles(template), place.files, owner);
  const link = await tablespaceLink(template);
  if (link === undefined) throw new Error(`bug: ${template} has no tablespace`);
  const path = join(place.data, link);
  await symlink(place.files, path);
  if (owner !== undefined) await lchown(path, owner.uid, owner.gid);
}

/** Gives a copy of a template a system identifier of its own, which is returned. */
export async function individualize(dataDirectory: string): Promise<bigint> {
  const identifier = newSystemIdentifier();
  await setSystemIdentifier(dataDirectory, identifier);
  return identifier;
}

/** Gives a directory that nobody uses to another user, with all that is in it. */
export async function giveTree(directory: string, owner: Owner): Promise<void> {
  // A link is given itself: what it leads to may be somebody else's.
  for (const entry of listTree(directory)) lchownSync(pathOf(entry), owner.uid, owner.gid);
  await lchown(directory, owner.uid, owner.gid);
}

/**
 * Copies files and folders, and nothing that is neither, in slices on this thread: for hundreds of
 * small files that is quicker than the thread pool, and as quick as `cp`. What is copied is private
 * to its owner.
 */
export async function copyTree(from: string, to: string, owner?: Owner): Promise<void> {
  let copied = 0;
  for (const entry of listTree(from)) {
    const source = pathOf(entry);
    const path = join(to, relative(from, source));
    if (entry.isDirectory()) mkdirSync(path, { mode: 0o700 });
    else if (!entry.isFile()) continue;
    // Waiting for one copy lets others run.
    else if (copied % SLICE_FILES === 0) await copyFile(source, path, CLONE_BLOCKS);
    else copyFileSync(source, path, CLONE_BLOCKS);
    copied += 1;
    if (owner !== undefined) lchownSync(path, owner.uid, owner.gid);
  }
}
