/**
 * What an image was last made of on this host, told by the marks of the files: to read all of them
 * only to find that nothing changed would keep the first start after a restart waiting.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Engine } from "@aerodb/postgres";
import { replaceFile } from "@aerodb/runtime";

interface ImageRecord {
  readonly tag: string;
  /** Every file in the image, where it is on this machine. */
  readonly sources: readonly string[];
  readonly mark: string;
}

/** Where programs of this machine find their libraries. */
const LIBRARY_CACHE = "/etc/ld.so.cache";

/** The tag of the image of an engine; undefined when it is unknown or something changed since. */
export async function recordedTag(directory: string, engine: Engine): Promise<string | undefined> {
  try {
    const text = await readFile(pathOf(directory, engine), "utf8");
    const { tag, sources, mark } = JSON.parse(text) as ImageRecord;
    return (await markOf(sources)) === mark ? tag : undefined;
  } catch {
    return undefined; // There is none, or a power failure left half of one.
  }
}

/** `mark`: taken before the files were read, so that what changes meanwhile is noticed. */
export async function recordTag(
  directory: string,
  engine: Engine,
  record: ImageRecord,
): Promise<void> {
  const path = pathOf(directory, engine);
  await mkdir(directory, { recursive: true });
  await replaceFile(path, JSON.stringify(record));
}

/** A file that is added or replaced by another changes the folder that it is in. */
export async function markOf(sources: readonly string[]): Promise<string> {
  const paths = new Set([...sources, ...sources.map((path) => dirname(path)), LIBRARY_CACHE]);
  const lines = await Promise.all(
    [...paths].toSorted().map(async (path) => {
      const about = await stat(path).catch(() => undefined);
      return [path, about?.ino, about?.mode, about?.size, about?.mtimeMs].join(" ");
    }),
  );
  return createHash("sha256").update(lines.join("\n")).digest("hex");
}

function pathOf(directory: string, { binDirectory }: Engine): string {
  const hash = createHash("sha256").update(binDirectory).digest("hex").slice(0, 12);
  return join(directory, `image-of-${hash}.json`);
}
