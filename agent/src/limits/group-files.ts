/** Reading and writing what the kernel shows as files of a control group. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, messageOf } from "@aerodb/model";
import { monotonicMs, newId, sleep } from "@aerodb/runtime";
import type { GroupUsage } from "./control-groups.ts";

/**
 * Where the kernel says what is mounted and which groups this process is in; tests say otherwise.
 */
export interface GroupRoots {
  readonly mounts?: string;
  readonly ownGroups?: string;
}

export interface Mount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** In which processor time is given out. */
export const CPU_PERIOD_US = 100_000;
const OURS = "aerodb";

export async function mountsOf({ mounts = "/proc/self/mountinfo" }: GroupRoots): Promise<Mount[]> {
  const text = await readFile(mounts, "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root, point] = left.split(" ");
    const [type, , options] = right.split(" ");
    if (root === undefined || point === undefined || type === undefined) return [];
    return [{ root, point, type, options: (options ?? "").split(",") }];
  });
}

/** Groups a process is in, by controller; the second version's is under the empty name. */
export async function groupsOf(path = "/proc/self/cgroup"): Promise<ReadonlyMap<string, string>> {
  const rows = (readNow(path) ?? "").split("\n").flatMap((line) => {
    const [, controllers, ...rest] = line.split(":");
    if (controllers === undefined || rest.length === 0) return [];
    return controllers.split(",").map((name): [string, string] => [name, rest.join(":")]);
  });
  return new Map(rows);
}

/** Where a group is seen: in a container the mount shows only a part of the tree. */
export function directoryOf(mount: Mount, group: string): string {
  const inside = mount.root === "/" ? group : group.slice(mount.root.length);
  return group.startsWith(mount.root) ? join(mount.point, inside) : mount.point;
}

/**
 * Where a group is seen that may be another's than this process's own; undefined where it is not.
 * In a container the mount shows no more than the container's own part of the tree, as a rule.
 */
export function seenDirectoryOf(
  mount: Mount | undefined,
  group: string | undefined,
): string | undefined {
  if (mount === undefined || group === undefined || group.startsWith("/..")) return undefined;
  const isSeen = mount.root === "/" || `${group}/`.startsWith(`${mount.root}/`);
  return isSeen ? directoryOf(mount, group) : undefined;
}

/** The part of the path under a directory that holds the groups of one home. */
export function ownPart(home: string): string {
  return join(OURS, createHash("sha256").update(home).digest("hex").slice(0, 12));
}

/** How often a group may be taken from under what is being made in it. */
const MADE_ANEW = 100;

/**
 * Makes groups, again when one above was removed meanwhile: that of a home goes with the last of
 * its instances, while the next may be on its way. `make` has to be safe to repeat.
 */
export async function outlastRemoval<Made>(make: () => Promise<Made>): Promise<Made> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await make();
    } catch (error) {
      const { code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
      // Node says ENOTDIR of a directory that was there and is gone when it looks again.
      const isGone = code === "ENOENT" || code === "ENOTDIR";
      if (!isGone || attempt === MADE_ANEW) throw error;
    }
    await sleep(1);
  }
}

/** Whether groups can be made in a directory. */
export async function canMakeIn(directory: string): Promise<boolean> {
  const probe = join(directory, `${OURS}-${newId("ins")}`);
  try {
    await mkdir(probe);
    await rmdir(probe);
    return true;
  } catch {
    return false;
  }
}

/** Throws UNAVAILABLE when the kernel refuses. */
export async function setLimit(directory: string, file: string, value: string): Promise<void> {
  try {
    await writeFile(join(directory, file), value);
  } catch (error) {
    const message = `The kernel refuses ${value} for ${file} of ${directory}: ${messageOf(error)}`;
    throw new Fault("UNAVAILABLE", message, { cause: error });
  }
}

/** For what not every kernel has. */
export async function setIfThere(directory: string, file: string, value: string): Promise<void> {
  await writeFile(join(directory, file), value).catch(() => undefined);
}

/**
 * Moves a process into a group beside those of instances, of which the kernel knows that it may
 * wait for all others (since 5.15), or that weighs least. Returns whether it is there.
 */
export async function setAsideIn(
  above: string,
  least: { readonly file: string; readonly value: string },
  pid: number,
): Promise<boolean> {
  const directory = join(above, `${OURS}-background`);
  try {
    await mkdir(directory, { recursive: true });
    await setIfThere(directory, "cpu.idle", "1");
    await setIfThere(directory, least.file, least.value);
    await writeFile(join(directory, "cgroup.procs"), pid.toString());
    return true;
  } catch {
    return false;
  }
}

/** A counter's file; undefined when there is none. */
export function readCounter(directory: string | undefined, file: string): string | undefined {
  return directory === undefined ? undefined : readNow(join(directory, file));
}

const COUNTER_BYTES = 4_096;
const read = Buffer.allocUnsafe(COUNTER_BYTES);

/**
 * Counters that are read at every look, kept open: reading one again takes a quarter of the time.
 * An open one keeps no group from being removed, and says nothing of a group made in its place.
 */
export class OpenCounters {
  readonly #files = new Map<string, number>();

  /** As `readCounter`; the file stays open until `close`, or until its group is gone. */
  readonly read = (directory: string | undefined, file: string): string | undefined => {
    if (directory === undefined) return undefined;
    const path = `${directory}/${file}`;
    const known = this.#files.get(path);
    const text = known === undefined ? undefined : readOpen(known);
    return text ?? this.#open(path);
  };

  /** Closes a file that was read, if it was. */
  close(directory: string | undefined, file: string): void {
    if (directory !== undefined) this.#close(`${directory}/${file}`);
  }

  #open(path: string): string | undefined {
    this.#close(path);
    try {
      const opened = openSync(path, "r");
      this.#files.set(path, opened);
      return readOpen(opened);
    } catch {
      return readNow(path); // There is none, or too many files are open.
    }
  }

  #close(path: string): void {
    const known = this.#files.get(path);
    if (known === undefined) return;
    this.#files.delete(path);
    closeSync(known);
  }
}

/** Undefined when its group is gone. */
function readOpen(file: number): string | undefined {
  try {
    return read.toString("latin1", 0, readSync(file, read, 0, COUNTER_BYTES, 0));
  } catch {
    return undefined;
  }
}

/**
 * These reads never wait for a disk, and through the thread pool they would cost ten times as much.
 * Node has a shorter way for UTF-8 than for other encodings.
 */
function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

export function numberIn(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** The value of a line `name value`. */
export function fieldIn(text: string | undefined, name: string): number | undefined {
  const line = text?.split("\n").find((each) => each.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

export function scaled(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value / by;
}

/** Memory that could not be given up at once: files that nobody used lately are not counted. */
export function workingSet(
  usage: number | undefined,
  idleFiles: number | undefined,
): number | undefined {
  return usage === undefined ? undefined : Math.max(0, usage - (idleFiles ?? 0));
}

/** Less than a session takes: what idles uses as much in a minute. */
const STILL_SECONDS = 0.002;

/** Whether hardly any processor time went by, so that a group is as it was. */
export function isStill(
  known: GroupUsage | undefined,
  cpuSeconds: number | undefined,
): known is GroupUsage {
  if (cpuSeconds === undefined || known?.cpuSeconds === undefined) return false;
  return cpuSeconds - known.cpuSeconds < STILL_SECONDS;
}

export async function foldersIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

/** Whether it is gone. A group with processes in it stays; it may be waited for that they end. */
export async function removeGroup(directory: string, patienceMs: number): Promise<boolean> {
  const start = monotonicMs();
  for (;;) {
    try {
      await rmdir(directory);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return true;
      if (code !== "EBUSY" && code !== "ENOTEMPTY") throw error;
      if (monotonicMs() - start >= patienceMs) return false;
    }
    await sleep(20);
  }
}
