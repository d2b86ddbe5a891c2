/** What an image needs so that an engine of this machine runs in it, and nothing besides. */
import { execFile } from "node:child_process";
import { lstat, readdir, readlink, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { Fault, messageOf } from "@aerodb/model";
import type { Engine } from "@aerodb/postgres";
import type { ArchiveEntry } from "./archive.ts";
import { librariesOf } from "./libraries.ts";

export interface EngineFiles {
  readonly entries: readonly ArchiveEntry[];
  /** Where `postgres` is in the image. */
  readonly binDirectory: string;
}

/** Where an engine that runs from anywhere is put. */
const ENGINE_PLACE = "/engine";
const MOVABLE = ["bin", "lib", "share"];
/** An engine of a distribution reads the machine's time zones. */
const TIME_ZONES = "/usr/share/zoneinfo";
const DEADLINE_MS = 10_000;
const run = promisify(execFile);

/** A folder of this machine, and where it is in the image. */
interface Folder {
  readonly source: string;
  readonly place: string;
}

export async function engineFilesOf(engine: Engine): Promise<EngineFiles> {
  const folders = await foldersOf(engine);
  const own = (await Promise.all(folders.map(entriesUnder))).flat();
  const sources = own.flatMap((entry) => (entry.kind === "file" ? [entry.source] : []));
  const programs = sources.filter((path) => /\.so(\.\d+)*$|\/bin\/[^/]+$/.test(path));
  const { paths, loader } = await librariesOf(programs);
  const inside = folders.map(({ source }) => `${source}/`);
  const foreign = [...paths, loader]
    .map((path) => resolve(path))
    .filter((path) => !inside.some((folder) => path.startsWith(folder)));
  const libraries = await Promise.all(foreign.map((path) => fileEntry(path, path)));
  const binDirectory = folders.find(({ source }) => source === engine.binDirectory)?.place;
  if (binDirectory === undefined) throw new Error(`bug: no ${engine.binDirectory} in an image`);
  return { entries: withFolders([...own, ...libraries]), binDirectory };
}

/** An engine with its `share` beside its `bin` runs from anywhere; any other stays where it is. */
async function foldersOf(engine: Engine): Promise<readonly Folder[]> {
  const root = dirname(engine.binDirectory);
  if (await isFolder(join(root, "share"))) {
    return MOVABLE.map((name) => ({ source: join(root, name), place: join(ENGINE_PLACE, name) }));
  }
  const [share, libraries] = await Promise.all([
    configured(engine, "--sharedir"),
    configured(engine, "--pkglibdir"),
  ]);
  const wanted = [engine.binDirectory, share, libraries, TIME_ZONES];
  const there = await Promise.all(wanted.map(isFolder));
  return wanted.filter((_, at) => there[at]).map((source) => ({ source, place: source }));
}

async function configured(engine: Engine, option: string): Promise<string> {
  const program = join(engine.binDirectory, "pg_config");
  try {
    const { stdout } = await run(program, [option], { timeout: DEADLINE_MS });
    return stdout.trim();
  } catch (error) {
    const sentence = `Could not ask ${program} where its files are: ${messageOf(error)}.`;
    const cure = "Install it, or name an image that has Postgres in it.";
    throw new Fault("UNAVAILABLE", `${sentence} ${cure}`, { cause: error });
  }
}

/** Links are kept as they are, and not followed: one may lead to a folder above itself. */
async function entriesUnder({ source, place }: Folder): Promise<readonly ArchiveEntry[]> {
  const found = await readdir(source, { withFileTypes: true });
  const entries = found.map(async (each): Promise<readonly ArchiveEntry[]> => {
    const inside = { source: join(source, each.name), place: join(place, each.name) };
    if (each.isDirectory()) return entriesUnder(inside);
    if (each.isFile()) return [await fileEntry(inside.source, inside.place)];
    if (!each.isSymbolicLink()) return [];
    const target = await readlink(inside.source);
    return [{ kind: "link", name: inside.place.slice(1), target }];
  });
  return (await Promise.all(entries)).flat();
}

/** What a link leads to may not be in the image: of a library it is what is taken. */
async function fileEntry(source: string, place: string): Promise<ArchiveEntry> {
  const { size, mode } = await stat(source);
  const executable = (mode & 0o100) !== 0;
  return { kind: "file", name: place.slice(1), source, bytes: size, executable };
}

/** In one order, every folder before what is in it. */
function withFolders(entries: readonly ArchiveEntry[]): readonly ArchiveEntry[] {
  const folders = new Set<string>();
  for (const { name } of entries) {
    for (let at = name.indexOf("/"); at > 0; at = name.indexOf("/", at + 1)) {
      folders.add(name.slice(0, at));
    }
  }
  const all = [
    ...[...folders].map((name): ArchiveEntry => ({ kind: "directory", name })),
    ...new Map(entries.map((entry) => [entry.name, entry])).values(),
  ];
  return all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function isFolder(path: string): Promise<boolean> {
  return lstat(path).then(
    (about) => about.isDirectory(),
    () => false,
  );
}
