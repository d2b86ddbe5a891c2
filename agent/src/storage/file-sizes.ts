/**
 * Sizes of files, taken while others write, remove and truncate them. What is neither a file nor a
 * directory is not looked into: a link could lead anywhere.
 */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs, now, sleep } from "@aerodb/runtime";
import { diskBytes } from "./volume.ts";

const TAIL_BYTES = 4_096;
const TAIL_LINES = 5;

/**
 * Changes whenever something was written to the databases: every change goes through the WAL. Every
 * instance is asked all the time, about files that its server holds open: through the thread pool
 * that would cost a hundred times as much.
 */
export function writeMark(dataDirectory: string): string {
  const wal = join(dataDirectory, "pg_wal");
  const names = look(wal)?.isDirectory() ? readdirSync(wal) : [];
  const paths = [...names.map((name) => join(wal, name)), join(dataDirectory, "global/pg_control")];
  const marks = paths.map((path) => `${path.slice(dataDirectory.length)}@${look(path)?.mtimeMs}`);
  return marks.toSorted().join(" ");
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/** Bytes of the files in a directory; 0 when it is none. */
export async function treeBytes(directory: string): Promise<bigint> {
  return sumOf(directory, (about) => about.size);
}

/** What the files in a directory take on disk; 0 when it is none. */
export async function treeDiskBytes(directory: string): Promise<bigint> {
  return sumOf(directory, diskBytes);
}

interface About {
  readonly size: number;
  readonly blocks: number;
}

/** After so long others have a turn. */
const TURN_MS = 2;

/**
 * Looks at the files one by one and not through the thread pool, which would take five times as
 * much of a processor.
 */
async function sumOf(directory: string, sizeOf: (about: About) => number): Promise<bigint> {
  const names = await entriesWithin(directory);
  let turn = monotonicMs();
  let bytes = 0n;
  for (const name of names) {
    if (monotonicMs() - turn >= TURN_MS) {
      await sleep(0);
      turn = monotonicMs();
    }
    const path = join(directory, name);
    const about = look(path);
    if (about?.isDirectory()) bytes += await sumOf(path, sizeOf);
    else bytes += BigInt(about === undefined ? 0 : sizeOf(about));
  }
  return bytes;
}

/** The last lines of a log; empty when none were written within that time. */
export async function tailOf(path: string, withinMs: number): Promise<string> {
  const file = await open(path, "r").catch(() => undefined);
  if (file === undefined) return "";
  try {
    const { size, mtimeMs } = await file.stat();
    if (mtimeMs < now().getTime() - withinMs) return "";
    const length = Math.min(size, TAIL_BYTES);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString("utf8").trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  } finally {
    await file.close();
  }
}

/** Names in a directory; none when it is not there. */
export function entriesOf(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

/** The same, where somebody else may have put a link in its place: that is not followed. */
async function entriesWithin(directory: string): Promise<string[]> {
  const about = await lstat(directory).catch(() => undefined);
  return about?.isDirectory() ? entriesOf(directory) : [];
}
