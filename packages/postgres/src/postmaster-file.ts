import { join } from "node:path";
import { readPlainFile } from "./plain-file.ts";

/**
 * What a postmaster says of itself in its data directory. It may be stale: the writer may be dead.
 */
export interface PostmasterFile {
  /** What it is called where it runs: 1, for the first in a namespace of processes. */
  readonly pid: number;
  /** For example `ready`; empty while it is being written. */
  readonly status: string;
}

const STATUS_LINE = 7;
const MOST_BYTES = 4_096;

/** Reads postmaster.pid; undefined when there is none, or not enough of it yet. */
export async function readPostmasterFile(
  dataDirectory: string,
): Promise<PostmasterFile | undefined> {
  const path = join(dataDirectory, "postmaster.pid");
  const text = await readPlainFile(path, MOST_BYTES).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return Buffer.alloc(0);
  });
  const lines = text.toString("latin1").split("\n");
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid < 1) return undefined;
  return { pid, status: (lines[STATUS_LINE] ?? "").trim() };
}
