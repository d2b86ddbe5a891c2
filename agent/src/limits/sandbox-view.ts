/**
 * What a sandboxed server sees of the machine: the system's programs and libraries, a few files of
 * `/etc`, its engine, and its own directories. Everything keeps its path.
 *
 * `<home>/view` is the floor of all views, read-only in each: directories to mount on, the links of
 * a merged `/usr`, and copies of what may be read of `/etc`, made anew when an agent starts.
 */
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "@aerodb/runtime";

export interface View {
  /** The agent's home: what is not listed of it cannot be seen. */
  readonly home: string;
  /** The home's `view` directory. */
  readonly floor: string;
  /** The system's directories that this machine has. */
  readonly system: readonly string[];
  readonly readOnly: readonly string[];
  readonly writable: readonly string[];
  /** For `/dev/shm`, where parallel queries meet. */
  readonly sharedMemoryMiB: number;
}

/** One mount of a view, below what comes before it. */
export type ViewMount =
  | { readonly kind: "read_only"; readonly path: string; readonly source: string }
  | { readonly kind: "writable" | "device" | "processes"; readonly path: string }
  | {
      readonly kind: "private";
      readonly path: string;
      readonly mode: string;
      readonly mib: number;
    };

const SYSTEM = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"];
/**
 * Names of users and libraries, and the time zone; nothing else of `/etc` is a server's business.
 */
const CONFIGURATION = ["passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime"];
const DEVICES = ["null", "zero", "full", "random", "urandom"];
const PRIVATE_MIB = 16;
/** Where kernel file systems and what is private go. */
const EMPTY = ["dev", "dev/shm", "proc", "tmp", "etc"];

/**
 * Makes the floor of all views in a home, for views of these paths, and brings its copies up to
 * date. Safe to repeat.
 */
export async function layFloor(home: string, paths: readonly string[]): Promise<string> {
  const floor = join(home, "view");
  const tops = paths.filter((path) => !isSystem(path)).map(topOf);
  for (const name of ["", ...EMPTY, ...tops]) await makeOpen(join(floor, name));
  for (const name of SYSTEM) await layPart(floor, name);
  for (const device of DEVICES) await writeFile(join(floor, "dev", device), "", { flag: "a" });
  for (const name of CONFIGURATION) await copyOver(join("/etc", name), join(floor, "etc", name));
  return floor;
}

/** Whoever a server runs as passes through it. */
async function makeOpen(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
}

/** The system's directories that this machine has; links to others are laid with the floor. */
export async function systemDirectories(): Promise<readonly string[]> {
  const kinds = await Promise.all(SYSTEM.map((name) => kindOf(join("/", name))));
  return SYSTEM.filter((_, at) => kinds[at] === "directory").map((name) => join("/", name));
}

/** The mounts that make up a view, in their order. */
export function mountsOfView(view: View): readonly ViewMount[] {
  const readOnly = view.readOnly.filter((path) => !isSystem(path) || isWithin(path, view.home));
  return [
    { kind: "read_only", path: "/", source: view.floor },
    ...view.system.map((path) => ({ kind: "read_only", path, source: path }) as const),
    ...DEVICES.map((name) => ({ kind: "device", path: `/dev/${name}` }) as const),
    { kind: "private", path: "/dev/shm", mode: "1777", mib: view.sharedMemoryMiB },
    { kind: "private", path: "/tmp", mode: "1777", mib: PRIVATE_MIB },
    { kind: "processes", path: "/proc" },
    ...coversOf([...readOnly, ...view.writable], view.home),
    ...readOnly.map((path) => ({ kind: "read_only", path, source: path }) as const),
    ...view.writable.map((path) => ({ kind: "writable", path }) as const),
  ];
}

/** Empty directories over what holds the paths, so that nothing beside them is seen. */
function coversOf(paths: readonly string[], home: string): readonly ViewMount[] {
  const covered = paths.map((path) => (isSystem(path) ? home : `/${topOf(path)}`));
  return [...new Set(covered)]
    .filter((path) => !EMPTY.includes(path.slice(1)))
    .map((path) => ({ kind: "private", path, mode: "0755", mib: 1 }));
}

/** The first part of an absolute path. */
function topOf(path: string): string {
  return path.split("/")[1] ?? "";
}

function isSystem(path: string): boolean {
  return SYSTEM.includes(topOf(path));
}

function isWithin(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

async function layPart(floor: string, name: string): Promise<void> {
  const source = join("/", name);
  const target = join(floor, name);
  switch (await kindOf(source)) {
    case "directory":
      return makeOpen(target);
    case "link":
      await symlink(await readlink(source), target).catch(ignoreThere);
      return;
    case "none":
      return;
  }
}

async function kindOf(path: string): Promise<"directory" | "link" | "none"> {
  const about = await lstat(path).catch(() => undefined);
  if (about?.isDirectory()) return "directory";
  return about?.isSymbolicLink() ? "link" : "none";
}

/** In one step: a server may be reading it. */
async function copyOver(source: string, target: string): Promise<void> {
  const draft = join(dirname(target), `.${newId("ins")}`);
  try {
    await copyFile(source, draft);
    await chmod(draft, 0o644);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function ignoreThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
