/**
 * Reads files of a data directory, in which its server may have put anything: what a link leads to
 * is not read, and neither a pipe nor a device keeps the reader waiting.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { messageOf } from "@aerodb/model";

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Why a plain file could not be read, in words that go on with a sentence. */
export function whyUnreadable(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ELOOP") return "it is a link";
  if (code === "ENOENT") return "it is not there";
  return messageOf(error);
}

/** The beginning of a regular file, at most so many bytes of it. Throws where there is none. */
export async function readPlainFile(path: string, mostBytes: number): Promise<Buffer> {
  const file = await open(path, FLAGS);
  try {
    if (!(await file.stat()).isFile()) throw new Error("it is no file");
    const { buffer, bytesRead } = await file.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
