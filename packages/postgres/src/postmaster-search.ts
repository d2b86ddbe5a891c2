/**
 * Which process of this machine is the postmaster of a data directory. Its own file there names the
 * pid that it has for itself; in a sandbox that is 1, whatever it is called out here.
 */
import { execFile } from "node:child_process";
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { identifyProcess, innerPidOf, type ProcessIdentity } from "@aerodb/runtime";
import { readPostmasterFile } from "./postmaster-file.ts";
import { isAbandoned } from "./postmaster-probe.ts";

/** What a launch leaves beside the data. */
export interface PostmasterTraces {
  /** Held by every process of the server. */
  readonly lockFile: string;
  /** Names the server's process, when it was launched into a sandbox. */
  readonly pidFile: string;
  /** Where it listens. */
  readonly socketDirectory: string;
}

const run = promisify(execFile);
const SANDBOXED = 1;

/**
 * The process that serves the data; undefined when none does. In a sandbox it is the one that was
 * noted as it was launched, whatever it has in its file by now; else the one whose file says so.
 * Where a server put something else in the place of its file, whoever stands there as one does.
 */
export async function searchPostmaster(
  dataDirectory: string,
  traces?: PostmasterTraces,
): Promise<ProcessIdentity | undefined> {
  const noted = traces && (await readPidFile(traces.pidFile));
  if (noted !== undefined) {
    const known = await confirmPostmaster(noted, SANDBOXED, dataDirectory);
    if (known !== undefined) return known;
  }
  const file = await readPostmasterFile(dataDirectory).catch(() => "unreadable" as const);
  if (file === undefined) return undefined;
  if (file === "unreadable") return scan(dataDirectory);
  if (file.pid !== SANDBOXED) return confirmPostmaster(file.pid, file.pid, dataDirectory);
  if (traces === undefined) return scan(dataDirectory, SANDBOXED);
  // Whoever launched it died before it was noted, or the file of a dead server was left behind. Of
  // many that died at once the socket tells without a program for each.
  if (await isAbandoned(traces.socketDirectory)) return undefined;
  return (await isLocked(traces.lockFile)) ? scan(dataDirectory, SANDBOXED) : undefined;
}

/**
 * The process of a pid, if it is the postmaster of the data and is called so by itself; `innerPid`
 * is undefined where that is not known.
 */
export async function confirmPostmaster(
  pid: number,
  innerPid: number | undefined,
  dataDirectory: string,
): Promise<ProcessIdentity | undefined> {
  const identity = identifyProcess(pid);
  if (identity === undefined || !(await isPostmasterOf(pid, dataDirectory))) return undefined;
  if (innerPid === undefined) return identity;
  const inner = await innerPidOf(pid);
  return inner === undefined || inner === innerPid ? identity : undefined;
}

/** The first number in it: a shell writes no more, bubblewrap an object of JSON. */
export async function readPidFile(pidFile: string): Promise<number | undefined> {
  const text = await readFile(pidFile, "latin1").catch(() => "");
  const digits = /\d+/.exec(text)?.[0];
  return digits === undefined ? undefined : Number(digits);
}

async function isLocked(lockFile: string): Promise<boolean> {
  return run("flock", ["-n", lockFile, "true"]).then(
    () => false,
    () => true,
  );
}

async function scan(
  dataDirectory: string,
  innerPid?: number,
): Promise<ProcessIdentity | undefined> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const found = await confirmPostmaster(Number(name), innerPid, dataDirectory);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Whether a process is a postmaster that works in a data directory: it stands there, and says so.
 */
async function isPostmasterOf(pid: number, dataDirectory: string): Promise<boolean> {
  const [commandLine, stands] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
    readlink(`/proc/${pid}/cwd`).catch((error: NodeJS.ErrnoException) => error.code),
  ]);
  // Its children have the same directory, but other titles ("postgres: checkpointer").
  const [program = "", flag, argument = ""] = commandLine.split("\0");
  if (!/(^|\/)postgres$/.test(program) || flag !== "-D") return false;
  const wanted = await realpath(dataDirectory).catch(() => undefined);
  // Without the right to look at another user's process, what it says of itself must do; likewise
  // where no such directory is any more, or something else is in its place.
  const isHidden = stands === "EACCES" || wanted === undefined;
  if (isHidden) return join(argument) === join(dataDirectory);
  return stands === wanted;
}
