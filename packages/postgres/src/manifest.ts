/** What files a materialized engine has: written when it is made, checked when it is used again. */
import { createHash } from "node:crypto";
import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface ManifestEntry {
  /** Relative to the engine's directory. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly sha256: string;
}

/** Describes files of a directory. */
export async function describeFiles(
  directory: string,
  paths: readonly string[],
): Promise<readonly ManifestEntry[]> {
  const entries: ManifestEntry[] = [];
  // One after another: all at once would hold the whole engine in memory.
  for (const path of paths) {
    const file = join(directory, path);
    const [bytes, { mtimeMs }] = await Promise.all([readFile(file), lstat(file)]);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    entries.push({ path, sizeBytes: bytes.length, modifiedMs: mtimeMs, sha256 });
  }
  return entries;
}

/** The files that are not what a manifest says, by size and time: quick enough for every start. */
export async function changedFiles(
  directory: string,
  manifest: readonly ManifestEntry[],
): Promise<readonly string[]> {
  const changed = await Promise.all(
    manifest.map(async ({ path, sizeBytes, modifiedMs }) => {
      const found = await lstat(join(directory, path)).catch(() => undefined);
      const same = found?.isFile() && found.size === sizeBytes && found.mtimeMs === modifiedMs;
      return same ? undefined : path;
    }),
  );
  return changed.filter((path) => path !== undefined);
}
