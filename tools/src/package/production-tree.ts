/**
 * What has to be on a machine for the platform to run there: our code without its tests, the
 * runtime, and of the installed packages those that the code needs, found as Node finds them.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { TEST_FILE } from "../import-table.ts";

/** The pieces, which need the rest. */
const PIECES = ["control", "agent", "gateway", "cli"];
/** Of our own folders, these. */
const OWN = [/^package\.json$/, /^LICENSE$/, /^(src|bin|gen|migrations)(\/|$)/];
/** Prints a file of the repository; needs what only tests have. */
const GENERATOR = /\/print-schema\.ts$/;
/** Files at least as large are linked instead of copied, where both are on one file system. */
const LARGE_BYTES = 8 * 1024 * 1024;

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** Copies it all to a directory, with the layout of the repository. */
export function copyProductionTree(root: string, to: string): void {
  const { own, installed } = neededBy(root);
  for (const folder of own) copyOwn(join(root, folder), join(to, folder));
  for (const name of ["package.json", "LICENSE"]) copyFile(join(root, name), join(to, name));
  for (const path of installed) copyPackage(join(root, path), join(to, path));
  for (const [name, folder] of ownNames(root, own)) {
    const link = join(to, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), join(to, folder)), link);
  }
  const node = join("node_modules", "node", "bin", "node");
  copyFile(join(root, node), join(to, node));
}

interface Needed {
  /** Our folders, relative to the root. */
  readonly own: readonly string[];
  /** Directories of installed packages, relative to the root. */
  readonly installed: readonly string[];
}

/** Everything that the pieces need, directly or by others. */
function neededBy(root: string): Needed {
  const own = new Set<string>();
  const installed = new Set<string>();
  const waiting = PIECES.map((piece) => join(root, piece));
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const path = relative(root, folder);
    const seen = path.includes("node_modules") ? installed : own;
    if (seen.has(path)) continue;
    seen.add(path);
    const manifest = manifestOf(folder);
    for (const name of [...Object.keys(manifest.dependencies ?? {}), ...neededPeers(manifest)]) {
      const found = resolvePackage(root, folder, name);
      if (found === undefined) throw new Error(`${path} needs ${name}: run "npm ci" first.`);
      waiting.push(found);
    }
    for (const name of Object.keys(manifest.optionalDependencies ?? {})) {
      const found = resolvePackage(root, folder, name);
      if (found !== undefined) waiting.push(found);
    }
  }
  return { own: [...own].sort(), installed: [...installed].sort() };
}

/** Who works without a peer does not bring it: a compiler, for example. */
function neededPeers({ peerDependencies, peerDependenciesMeta }: Manifest): readonly string[] {
  return Object.keys(peerDependencies ?? {}).filter(
    (name) => peerDependenciesMeta?.[name]?.optional !== true,
  );
}

/** Where a package is for who is in a folder: in the nearest `node_modules` above that has it. */
function resolvePackage(root: string, from: string, name: string): string | undefined {
  for (let folder = from; folder.startsWith(root.replace(/\/$/, "")); folder = dirname(folder)) {
    const path = join(folder, "node_modules", name);
    // Our own are links out of node_modules; others stay where they are found.
    if (existsSync(join(path, "package.json"))) {
      return lstatSync(path).isSymbolicLink() ? realpathSync(path) : path;
    }
  }
  return undefined;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

function ownNames(root: string, own: readonly string[]): readonly (readonly [string, string])[] {
  return own.map((folder) => {
    const text = readFileSync(join(root, folder, "package.json"), "utf8");
    return [(JSON.parse(text) as { readonly name: string }).name, folder] as const;
  });
}

function copyOwn(from: string, to: string): void {
  const paths = readdirSync(from, { recursive: true, encoding: "utf8" }).filter(
    (path) => OWN.some((pattern) => pattern.test(path)) && !path.includes("node_modules"),
  );
  for (const path of paths) {
    const isForRepository = TEST_FILE.test(`/${path}`) || GENERATOR.test(`/${path}`);
    if (!isForRepository && lstatSync(join(from, path)).isFile()) {
      copyFile(join(from, path), join(to, path));
    }
  }
}

/** A package as it was installed, without the packages that lie in it: those are needed or not. */
function copyPackage(from: string, to: string): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.name === "node_modules" || entry.name === ".cache") continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyPackage(source, target);
    else if (entry.isSymbolicLink()) {
      mkdirSync(to, { recursive: true });
      symlinkSync(readlinkSync(source), target);
    } else if (entry.isFile()) copyFile(source, target);
  }
}

/** With rights that do not depend on who checked the repository out. */
function copyFile(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  const { size, mode } = lstatSync(from);
  const wanted = (mode & 0o100) === 0 ? 0o644 : 0o755;
  if (size >= LARGE_BYTES && (mode & 0o777) === wanted && isLinked(from, to)) return;
  copyFileSync(from, to);
  chmodSync(to, wanted);
}

function isLinked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch {
    return false; // On another file system.
  }
}
