/**
 * The mark by which an agent knows what it made itself: a random word of its home, and the same
 * word in each directory of an instance. Whatever is to be removed without having been ordered
 * into being must carry it. It is of the home and not of the host's id, because a home outlives a
 * certificate: a host that joins anew still knows its own.
 */
import { randomBytes } from "node:crypto";
import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "@aerodb/runtime";

const FILE = "mark";
const MARK = /^[0-9a-f]{32}\n$/;

/** The mark of a home; made with the first question for it. */
async function homeMark(home: string): Promise<string> {
  const found = await readMark(home);
  if (found !== undefined) return found;
  await replaceFile(join(home, FILE), `${randomBytes(16).toString("hex")}\n`);
  // Whoever made it first in the same moment has made it for all.
  return (await readMark(home)) ?? Promise.reject(new Error(`bug: ${home} lost its mark`));
}

/**
 * Marks a directory as made by this home. Repeating it has no further effect. Not flushed: that is
 * left to who made the directory.
 */
export async function putMark(directory: string, home: string): Promise<void> {
  if ((await readMark(directory)) !== undefined) return;
  await replaceFile(join(directory, FILE), await homeMark(home), { flush: false });
}

/** Whether a directory, and no link to one, carries the mark of a home. */
export async function carriesMark(directory: string, home: string): Promise<boolean> {
  const about = await lstat(directory).catch(() => undefined);
  if (about?.isDirectory() !== true) return false;
  const [own, held] = await Promise.all([readMark(home), readMark(directory)]);
  return own !== undefined && own === held;
}

async function readMark(directory: string): Promise<string | undefined> {
  const path = join(directory, FILE);
  // What is no file was not put there by us: a pipe would never answer.
  if ((await lstat(path).catch(() => undefined))?.isFile() !== true) return undefined;
  const text = await readFile(path, "utf8");
  return MARK.test(text) ? text : undefined;
}
