/**
 * An embedded engine lies in node_modules, which other users may not be able to read, and may lack
 * the library symlinks that npm's install script makes. Materializing gives it a home that
 * instances can run from, whoever they run as, and that stays when node_modules is replaced under
 * running servers.
 */

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { Fault } from "@aerodb/model";
import { buildDirectory } from "./built-directory.ts";
import type { Engine } from "./engine.ts";
import { changedFiles, describeFiles, type ManifestEntry } from "./manifest.ts";

const MANIFEST = "manifest.json";

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * Copies an embedded engine to `<directory>/<version>-<hash>`, unless it is there, and returns the
 * engine there. An installed engine is returned as it is. Safe to repeat and to race; throws
 * UNAVAILABLE when files of an earlier copy were changed.
 */
export async function materializeEngine(engine: Engine, directory: string): Promise<Engine> {
  if (engine.origin !== "embedded") return engine;
  const source = dirname(engine.binDirectory);
  const links = await readLinks(source);
  const files = await listFiles(source, links);
  const target = join(directory, `${engine.version}-${await hashOf(source)}`);

  await mkdir(directory, { recursive: true, mode: 0o755 });
  await buildDirectory(target, (draft) => copyEngine({ source, files, links, draft }));
  await requireUnchanged(target);
  return { ...engine, binDirectory: join(target, "bin") };
}

async function copyEngine(copy: {
  readonly source: string;
  readonly files: readonly string[];
  readonly links: readonly Link[];
  readonly draft: string;
}): Promise<void> {
  const { source, files, links, draft } = copy;
  const folders = new Set(files.map((file) => join(draft, dirname(file))));
  for (const folder of folders) await mkdir(folder, { recursive: true });
  await Promise.all(files.map((file) => copyReadable(join(source, file), join(draft, file))));
  await Promise.all(
    links.map(({ source: from, target: to }) => symlink(basename(from), join(draft, to))),
  );
  await openFolders(draft);

  const [wanted, made] = await Promise.all([
    describeFiles(source, files),
    describeFiles(draft, files),
  ]);
  const wrong = made.find((entry, at) => entry.sha256 !== wanted[at]?.sha256);
  if (wrong !== undefined) throw new Fault("UNAVAILABLE", `The copy of ${wrong.path} is damaged.`);
  await writeFile(join(draft, MANIFEST), `${JSON.stringify(made)}\n`, { mode: 0o644 });
}

async function copyReadable(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  const runs = /^(bin|lib)$/.test(basename(dirname(to)));
  await chmod(to, runs ? 0o755 : 0o644);
}

/** The process's umask may have taken from folders what instances need. */
async function openFolders(draft: string): Promise<void> {
  const entries = await readdir(draft, { recursive: true, withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory());
  await Promise.all(
    [draft, ...folders.map((entry) => join(entry.parentPath, entry.name))].map((folder) =>
      chmod(folder, 0o755),
    ),
  );
}

async function requireUnchanged(target: string): Promise<void> {
  const text = await readFile(join(target, MANIFEST), "utf8");
  const changed = await changedFiles(target, JSON.parse(text) as readonly ManifestEntry[]);
  if (changed.length === 0) return;
  const named = changed.slice(0, 3).join(", ");
  throw new Fault(
    "UNAVAILABLE",
    `${changed.length} files of the engine in ${target} were changed (${named}): ` +
      "stop its instances and remove that directory; it is made anew.",
  );
}

/** Everything a server needs, no link targets and no archives for linking. */
async function listFiles(source: string, links: readonly Link[]): Promise<readonly string[]> {
  const linked = new Set(links.map(({ target }) => target));
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(source, join(entry.parentPath, entry.name)))
    .filter((path) => /^(bin|lib|share)\//.test(path))
    .filter((path) => !path.endsWith(".a") && !linked.has(path))
    .toSorted();
}

/** The library symlinks that npm cannot pack; the package lists them relative to itself. */
async function readLinks(source: string): Promise<readonly Link[]> {
  const text = await readFile(join(source, "pg-symlinks.json"), "utf8");
  const links = JSON.parse(text) as readonly Link[];
  return links.map((link) => ({
    source: relative("native", link.source),
    target: relative("native", link.target),
  }));
}

/** Tells builds of one version apart by what decides their behaviour. */
async function hashOf(source: string): Promise<string> {
  const hash = createHash("sha256");
  for (const path of ["bin/postgres", "pg-symlinks.json"]) {
    hash.update(await readFile(join(source, path)));
  }
  return hash.digest("hex").slice(0, 12);
}
