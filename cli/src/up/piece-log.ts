/** What a piece said last, out of its log: JSON lines, and whatever else a dying process writes. */
import { closeSync, openSync, readSync, statSync } from "node:fs";

const TAIL_BYTES = 8 * 1024;

/** The last sentence written after an offset; undefined when there is none. */
export function lastSentence(path: string, offset: number): string | undefined {
  const lines = readTail(path, offset)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const spoken = lines.map(sentenceOf).filter((text) => text !== undefined);
  return spoken.at(-1);
}

/** The message of a JSON line; a line of a stack trace or of Node's closing note says nothing. */
function sentenceOf(line: string): string | undefined {
  if (line.startsWith("{")) {
    try {
      const { msg } = JSON.parse(line) as { readonly msg?: unknown };
      return typeof msg === "string" ? msg : undefined;
    } catch {
      return undefined;
    }
  }
  return /^(at |Node\.js v|\}|\^|code:|file:\/\/|node:)/.test(line) ? undefined : line;
}

function readTail(path: string, offset: number): string {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const from = Math.max(offset, size - TAIL_BYTES);
  if (from >= size) return "";
  const bytes = Buffer.alloc(size - from);
  const descriptor = openSync(path, "r");
  try {
    const count = readSync(descriptor, bytes, 0, bytes.length, from);
    return bytes.toString("utf8", 0, count);
  } finally {
    closeSync(descriptor);
  }
}
