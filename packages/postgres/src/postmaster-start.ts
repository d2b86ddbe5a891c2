import { execFile } from "node:child_process";
import { chmod, chown, mkdir, readFile, realpath, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "@aerodb/model";
import { innerPidOf, monotonicMs, sleep } from "@aerodb/runtime";
import { socketPath } from "./names.ts";
import { adopt, findPostmaster, type Postmaster } from "./postmaster.ts";
import { readPostmasterFile } from "./postmaster-file.ts";
import { type Attempt, LOCK_HELD, launch, type PostmasterSettings } from "./postmaster-launch.ts";
import type { PostmasterTraces } from "./postmaster-search.ts";

const run = promisify(execFile);

const START_DEADLINE_MS = 60_000;
const LONGEST_PAUSE_MS = 100;
/** The kernel's limit for the path of a socket, its ending NUL included. */
const SOCKET_PATH_BYTES = 108;
/** Processes of a killed server are still ending: they hold its lock and its shared memory. */
const STILL_ENDING = /pre-existing shared memory block|lock file "[^"]+" already exists/;

/**
 * Starts a server, or adopts the one that runs on the data, and resolves once it accepts
 * connections. It goes on when this process ends. What is left of an earlier server is waited for.
 * Throws UNAVAILABLE with the end of its log when it does not come up, and OPERATION_TIMED_OUT when
 * it takes too long: it is killed then.
 */
export async function startPostmaster(
  settings: PostmasterSettings,
  signal?: AbortSignal,
): Promise<Postmaster> {
  await requireLocking();
  const dataDirectory = await realpath(settings.dataDirectory);
  await prepare(settings);
  const deadline = monotonicMs() + (settings.deadlineMs ?? START_DEADLINE_MS);
  const traces = tracesOf(settings);

  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const running = await findPostmaster(dataDirectory, traces);
    if (running === undefined) {
      const attempt = await launch({ ...settings, dataDirectory });
      const end = await readyOrEnded(attempt, dataDirectory, deadline, signal);
      if (end.kind === "ready") return end.postmaster;
      await requireRetriable(settings, attempt, end.code);
    } else if (await isReady((await innerPidOf(running.pid)) ?? running.pid, dataDirectory)) {
      return running;
    }
    if (monotonicMs() >= deadline) throw tooLate(dataDirectory, "the end of an earlier server");
    await sleep(pauseMs, signal);
  }
}

function tracesOf(settings: PostmasterSettings): PostmasterTraces | undefined {
  const { lockFile, socketDirectory, enclosure } = settings;
  const pidFile = enclosure?.pidFile;
  return pidFile === undefined ? undefined : { lockFile, pidFile, socketDirectory };
}

type AttemptEnd =
  | { readonly kind: "ready"; readonly postmaster: Postmaster }
  | { readonly kind: "ended"; readonly code: number | undefined };

async function readyOrEnded(
  attempt: Attempt,
  dataDirectory: string,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<AttemptEnd> {
  const { ended } = attempt;
  try {
    for (let pauseMs = 3; ; pauseMs = Math.min(pauseMs * 1.08, LONGEST_PAUSE_MS)) {
      const end = await Promise.race([ended.then(asEnd), sleep(pauseMs, signal)]);
      if (end !== undefined) return end;
      const postmaster = await ready(attempt, dataDirectory);
      if (postmaster !== undefined) return { kind: "ready", postmaster };
      if (monotonicMs() >= deadline) throw tooLate(dataDirectory, "connections to be accepted");
    }
  } catch (error) {
    await attempt.kill();
    throw error;
  }
}

async function isReady(pid: number, dataDirectory: string): Promise<boolean> {
  const file = await readPostmasterFile(dataDirectory);
  return file !== undefined && file.pid === pid && file.status === "ready";
}

function asEnd(code: number | undefined): AttemptEnd {
  return { kind: "ended", code };
}

/**
 * The server of an attempt, once it says that it is ready. In this order: in a sandbox every server
 * has the same pid, and the file of an earlier one is gone only once this one is seen to run.
 */
async function ready(attempt: Attempt, dataDirectory: string): Promise<Postmaster | undefined> {
  const identity = await attempt.server();
  if (identity === undefined) return undefined;
  if (!(await isReady(attempt.innerPid, dataDirectory))) return undefined;
  attempt.settle();
  return adopt(
    dataDirectory,
    identity,
    attempt.ended.then(() => undefined),
  );
}

/** Makes what the server will open, so that it belongs to whom it runs as. */
async function prepare(settings: PostmasterSettings): Promise<void> {
  const { socketDirectory, lockFile, logFile, owner } = settings;
  const socket = socketPath(socketDirectory);
  if (!isAbsolute(socket) || Buffer.byteLength(socket) >= SOCKET_PATH_BYTES) {
    throw new Fault(
      "UNAVAILABLE",
      `${socket} is no path for a socket: use a shorter, absolute one.`,
    );
  }
  await mkdir(socketDirectory, { recursive: true, mode: 0o700 });
  await chmod(socketDirectory, 0o700);
  await mkdir(dirname(logFile), { recursive: true, mode: 0o700 });
  for (const path of [lockFile, logFile]) await writeFile(path, "", { flag: "a", mode: 0o600 });
  if (owner === undefined) return;
  for (const path of [socketDirectory, lockFile]) await chown(path, owner.uid, owner.gid);
}

/** Whether this machine's flock can be the server instead of its parent; asked once. */
let locking: Promise<void> | undefined;
function requireLocking(): Promise<void> {
  locking ??= checkLocking();
  return locking;
}

async function checkLocking(): Promise<void> {
  const { stdout } = await run("flock", ["--help"]).catch(() => ({ stdout: "" }));
  if (stdout.includes("--no-fork")) return;
  locking = undefined;
  throw new Fault(
    "UNAVAILABLE",
    "This machine has no flock with --no-fork, which keeps two servers off one data directory: " +
      "install util-linux 2.31 or newer.",
  );
}

/** Throws unless what ended an attempt will pass. */
async function requireRetriable(
  settings: PostmasterSettings,
  attempt: Attempt,
  code: number | undefined,
): Promise<void> {
  if (code === LOCK_HELD) return;
  const whole = await readFile(settings.logFile);
  const log = whole.subarray(attempt.logStart).toString("utf8");
  if (!STILL_ENDING.test(log)) {
    const words = lastLines(log) || saidNothing(lastLines(whole.toString("utf8")));
    throw new Fault("UNAVAILABLE", failure(settings.dataDirectory, code, words));
  }
  // A pid that was used again by another program of the same user would be taken for the old server
  // for ever. Whoever holds the lock knows that no process of it lives.
  const socket = socketPath(settings.socketDirectory);
  const left = [join(settings.dataDirectory, "postmaster.pid"), `${socket}.lock`, socket];
  await run("flock", ["-n", settings.lockFile, "rm", "-f", ...left]).catch(() => undefined);
}

function lastLines(log: string): string {
  return log.trim().split("\n").slice(-5).join(" / ");
}

/** In place of the words of a server that wrote none, as on a full disk: what its log ends with. */
export function saidNothing(before: string): string {
  const nothing = "it wrote nothing to its log, as on a full disk";
  return before === "" ? `${nothing}.` : `${nothing}. What an earlier one wrote last: ${before}`;
}

function failure(dataDirectory: string, code: number | undefined, words: string): string {
  const how = code === undefined ? "was killed" : code === 0 ? "ended" : `ended with code ${code}`;
  return `The server of ${dataDirectory} ${how} before it was ready: ${words}`;
}

function tooLate(dataDirectory: string, expecting: string): Fault {
  return new Fault("OPERATION_TIMED_OUT", `Waited too long for ${expecting} in ${dataDirectory}.`);
}
