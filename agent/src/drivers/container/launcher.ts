/**
 * What every container starts with, whatever its image holds: a shell that leads the server's
 * output into the instance's log, and `flock`, which keeps a second server off the data from
 * anywhere on this machine. They are this machine's own, with their libraries, and run by their own
 * loader, so that an image needs neither.
 */
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { Fault } from "@aerodb/model";
import { librariesOf } from "./libraries.ts";

/** Where the launcher and the log are in a container. */
export const LAUNCHER_PLACE = "/.aerodb/launcher";
export const LOG_PLACE = "/.aerodb/log";
/** What `flock` answers when somebody else holds the lock. */
export const LOCK_HELD = 75;

const PROGRAMS = ["sh", "flock"] as const;
const SEARCHED = ["/usr/bin", "/bin"];
const LOADER = "loader";
const KIB = 1_024;

/**
 * Copies the launcher under `directory`, unless it is there, and returns where. Safe to repeat and
 * to race.
 */
export async function ensureLauncher(directory: string): Promise<string> {
  const programs = await Promise.all(PROGRAMS.map(findProgram));
  const { paths, loader } = await librariesOf(programs);
  const files = [
    ...PROGRAMS.map((name, at) => ({ name: name as string, source: programs[at] ?? "" })),
    ...paths.map((source) => ({ name: basename(source), source })),
    { name: LOADER, source: loader },
  ];
  const contents = await Promise.all(files.map(({ source }) => readFile(source)));
  const hash = contents.reduce((sum, each) => sum.update(each), createHash("sha256"));
  const target = join(directory, `launcher-${hash.digest("hex").slice(0, 12)}`);
  const draft = `${target}.${process.pid}-${crypto.randomUUID()}`;
  await mkdir(draft, { recursive: true, mode: 0o755 });
  await chmod(draft, 0o755);
  for (const { name, source } of files) {
    await copyFile(source, join(draft, name));
    await chmod(join(draft, name), 0o755);
  }
  await rename(draft, target).catch(async (error: NodeJS.ErrnoException) => {
    await rm(draft, { recursive: true });
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
  });
  return target;
}

/**
 * The words that start `server` under a lock, with its output in the log. `backendMemoryBytes` is
 * what each of its processes may have of memory of its own: the runtime that makes containers could
 * not work under such a limit, so that it is set here.
 */
export function launchCommand(
  server: readonly string[],
  options: { readonly lockFile: string; readonly backendMemoryBytes: number },
): string[] {
  const lock = ["-n", "-F", "-E", LOCK_HELD.toString(), options.lockFile];
  // The hard limit stays open, so that the limit can grow with the instance.
  const script = `exec >>"$0" 2>&1; ulimit -S -d ${Math.floor(options.backendMemoryBytes / KIB)}`;
  const locked = [...inside("flock"), ...lock, ...server];
  return [...inside("sh"), "-c", `${script} && exec "$@"`, LOG_PLACE, ...locked];
}

function inside(program: (typeof PROGRAMS)[number]): readonly string[] {
  const loader = join(LAUNCHER_PLACE, LOADER);
  return [loader, "--library-path", LAUNCHER_PLACE, join(LAUNCHER_PLACE, program)];
}

async function findProgram(name: string): Promise<string> {
  for (const directory of SEARCHED) {
    const path = join(directory, name);
    const there = await readFile(path).catch(() => undefined);
    if (there !== undefined) return path;
  }
  throw new Fault("UNAVAILABLE", `This machine has no ${name}: install it (in ${SEARCHED}).`);
}
