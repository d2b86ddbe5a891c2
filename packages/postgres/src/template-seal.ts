/**
 * Says of a template what was put into it, so that whoever clones it knows that it is still that.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Engine } from "./engine.ts";
import { describeFiles, type ManifestEntry } from "./manifest.ts";
import { listTree, pathOf } from "./tree.ts";

const MANIFEST = "manifest.json";

/** Notes the sum of every file of a template. Call when it is finished. */
export async function sealTemplate(directory: string): Promise<void> {
  const entries = await describeFiles(directory, filesOf(directory));
  await writeFile(join(directory, MANIFEST), `${JSON.stringify(entries)}\n`, { mode: 0o600 });
}

/** Whether a template holds what it was sealed with: nothing changed, lost or added. */
export async function isSealed(directory: string): Promise<boolean> {
  try {
    const text = await readFile(join(directory, MANIFEST), "utf8");
    const found = await describeFiles(directory, filesOf(directory));
    return sums(found) === sums(JSON.parse(text) as readonly ManifestEntry[]);
  } catch {
    return false;
  }
}

/** Tells builds of one version apart: a template fits the programs that made it. */
export async function sumOfPrograms(engine: Engine): Promise<string> {
  const hash = createHash("sha256");
  for (const name of ["postgres", "initdb"]) {
    hash.update(await readFile(join(engine.binDirectory, name)));
  }
  return hash.digest("hex");
}

function sums(entries: readonly ManifestEntry[]): string {
  return JSON.stringify(entries.map(({ path, sha256 }) => [path, sha256]));
}

function filesOf(directory: string): readonly string[] {
  return listTree(directory)
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, pathOf(entry)))
    .filter((path) => path !== MANIFEST)
    .toSorted();
}
