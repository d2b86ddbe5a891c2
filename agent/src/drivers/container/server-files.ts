/** The files through which a server in a container and its host meet. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { chmod, chown, lstat, mkdir, open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Fault } from "@aerodb/model";
import { canChangeOwner, type Owner, socketPath } from "@aerodb/postgres";
import type { InstancePlace } from "../../storage/layout.ts";
import { exists } from "../../storage/volume.ts";

const STATUS_LINE = 7;
const PID_FILE_BYTES = 4_096;
const PLAIN_ONLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
const FLOCK_DEADLINE_MS = 10_000;
/** What `flock` answers when somebody else holds the lock. */
const HELD = 1;
const LAST_LINES = 5;

/** Makes what is mounted into the container, so that its user can use it and nobody else. */
export async function layOut(place: InstancePlace, owner: Owner): Promise<void> {
  const { socketDirectory, lock, log } = place;
  await mkdir(socketDirectory, { recursive: true, mode: 0o700 });
  await chmod(socketDirectory, 0o700);
  await mkdir(dirname(log), { recursive: true, mode: 0o700 });
  for (const path of [lock, log]) await writeFile(path, "", { flag: "a", mode: 0o600 });
  if (!canChangeOwner()) return;
  for (const path of [socketDirectory, lock]) await chown(path, owner.uid, owner.gid);
  // The log stays the agent's own: the server only writes to it.
  await chown(log, 0, owner.gid);
  await chmod(log, 0o620);
}

/** Whether any server works in a data directory, in whatever container or in none. */
export async function isLocked(dataDirectory: string): Promise<boolean> {
  const lock = join(dirname(dataDirectory), "lock");
  return (await exists(lock)) && !(await underLock(lock, "true", []));
}

/**
 * Removes what an ended server says of itself, so that the next is not taken for ready before it
 * is. Returns whether nobody else works in the data directory.
 */
export function clearTraces(place: InstancePlace): Promise<boolean> {
  const socket = socketPath(place.socketDirectory);
  const traces = [pidFileOf(place), socket, `${socket}.lock`];
  return underLock(place.lock, "rm", ["-f", "--", ...traces]);
}

/**
 * Whether the server of a container has said that it accepts connections. The directory is the
 * instance's own: a link there is not followed, and a pipe is not waited for.
 */
export async function saysReady(place: InstancePlace): Promise<boolean> {
  const file = await open(pidFileOf(place), PLAIN_ONLY).catch(() => undefined);
  if (file === undefined) return false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(PID_FILE_BYTES));
    const lines = buffer.toString("latin1", 0, bytesRead).split("\n");
    return lines[STATUS_LINE]?.trim() === "ready";
  } catch {
    return false;
  } finally {
    await file.close();
  }
}

export async function sizeOf(path: string): Promise<number> {
  return (await lstat(path).catch(() => undefined))?.size ?? 0;
}

/** The last lines that a log gained since it had a size. */
export async function lastLines(path: string, since: number): Promise<string> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return "";
  try {
    const { size } = await file.stat();
    const length = Math.min(size - since, 4_096);
    if (length <= 0) return "";
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString("utf8").trim().split("\n").slice(-LAST_LINES).join(" / ");
  } finally {
    await file.close();
  }
}

function pidFileOf(place: InstancePlace): string {
  return join(place.data, "postmaster.pid");
}

/** Runs a program while holding a lock; returns whether it could be had. */
function underLock(lock: string, program: string, words: readonly string[]): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const options = { timeout: FLOCK_DEADLINE_MS };
  execFile("flock", ["-n", lock, program, ...words], options, (error, _printed, said) => {
    if (error === null) return resolve(true);
    if (error.code === HELD && said === "") return resolve(false);
    const why = said.trim() || error.message;
    reject(new Fault("UNAVAILABLE", `Could not run flock on ${lock}: ${why}`, { cause: error }));
  });
  return promise;
}
