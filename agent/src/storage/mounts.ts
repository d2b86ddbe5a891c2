/**
 * What is mounted on this machine and which files are block devices, read from the kernel: no
 * program is run to look, and nothing is remembered.
 */
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runProgram } from "./run-program.ts";

export interface Mount {
  readonly at: string;
  readonly fileSystem: string;
  readonly source: string;
}

export interface LoopDevice {
  readonly device: string;
  /** The file behind it, where it is now, or was when it was removed. */
  readonly image: string;
}

/** How the kernel spells a file that is open and has no name any more. */
const DELETED = / \(deleted\)$/;

/** Every mount, in the order in which they were made. */
async function readMounts(): Promise<readonly Mount[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , , at] = before.split(" ");
    const [fileSystem, source] = after.split(" ");
    if (at === undefined || fileSystem === undefined || source === undefined) return [];
    return [{ at: plain(at), fileSystem, source: plain(source) }];
  });
}

/** The kernel writes blanks and backslashes as octal numbers. */
function plain(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** The type of the file system that a path is on, as `ext4`. */
export async function fileSystemOf(path: string): Promise<string> {
  const real = await realpath(path);
  const holding = (await readMounts()).filter(({ at }) => isUnder(real, at));
  // The longest path holds it, and of several at one place the one on top.
  const [first] = holding.toReversed().toSorted((a, b) => b.at.length - a.at.length);
  return first?.fileSystem ?? "unknown";
}

/** Whether something is mounted on a directory: then it is on another device than its parent. */
export async function isMounted(directory: string): Promise<boolean> {
  const [own, above] = await Promise.all(
    [directory, dirname(directory)].map((path) => lstat(path).catch(() => undefined)),
  );
  return own !== undefined && above !== undefined && own.dev !== above.dev;
}

/** What is mounted on or under a directory, the innermost first. */
export async function mountsUnder(directory: string): Promise<readonly Mount[]> {
  const real = await realpath(directory).catch(() => undefined);
  if (real === undefined) return [];
  const found = (await readMounts()).filter(({ at }) => isUnder(at, real) && at !== real);
  return found.toReversed();
}

/** Unmounts all that is mounted under a directory. Safe to repeat. */
export async function unmountUnder(directory: string): Promise<void> {
  for (const { at } of await mountsUnder(directory)) await runProgram("umount", [at]);
}

/** Block devices made of files. */
export async function readLoopDevices(): Promise<readonly LoopDevice[]> {
  const names = await readdir("/sys/block").catch((): string[] => []);
  const found = await Promise.all(
    names
      .filter((name) => name.startsWith("loop"))
      .map(async (name) => {
        const path = join("/sys/block", name, "loop", "backing_file");
        // Devices that are free have no such file.
        const text = await readFile(path, "utf8").catch(() => undefined);
        const image = text?.replace(/\n$/, "");
        if (image === undefined) return undefined;
        return { device: `/dev/${name}`, image: image.replace(DELETED, "") };
      }),
  );
  return found.filter((device) => device !== undefined);
}

/** The block device made of a file; undefined when there is none. */
export async function loopDeviceOf(image: string): Promise<LoopDevice | undefined> {
  const real = await realpath(image);
  return (await readLoopDevices()).find((each) => each.image === real);
}

/** Takes a block device off its file. What the kernel has freed by itself meanwhile is fine. */
export async function detach({ device, image }: LoopDevice): Promise<void> {
  try {
    await runProgram("losetup", ["--detach", device]);
  } catch (error) {
    const held = (await readLoopDevices()).some(
      (each) => each.device === device && each.image === image,
    );
    if (held) throw error;
  }
}

export function isUnder(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}
