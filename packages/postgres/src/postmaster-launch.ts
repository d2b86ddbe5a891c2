/** One attempt to run a server: its process, and how it is heard that it ended. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, messageOf } from "@aerodb/model";
import { identifyProcess, type ProcessIdentity, signalProcess } from "@aerodb/runtime";
import type { Engine } from "./engine.ts";
import { SOCKET_PORT } from "./names.ts";
import { canChangeOwner, type Owner } from "./owner.ts";
import { isGoneWithin, watch } from "./postmaster.ts";
import { confirmPostmaster, readPidFile } from "./postmaster-search.ts";

export interface PostmasterSettings {
  readonly engine: Engine;
  readonly dataDirectory: string;
  /** A private directory for the socket, which is named SOCKET_FILE. Made if missing. */
  readonly socketDirectory: string;
  /** Held by every process of the server: no second postmaster runs while one of them lives. */
  readonly lockFile: string;
  readonly logFile: string;
  /** Who the server runs as; this process's user when left out. */
  readonly owner?: Owner;
  /** How long it may take until it accepts connections. 60 s when left out. */
  readonly deadlineMs?: number;
  readonly enclosure?: Enclosure;
}

/** What raises walls around a server. */
export interface Enclosure {
  /**
   * The command that becomes the server. It is started as this process's user, holding the lock,
   * and takes on the server's owner itself.
   */
  wrap(server: readonly string[]): readonly string[];
  /**
   * Where that command notes which process of this machine is the server, when that is not the
   * process that was started. The server is then the first in a namespace of processes.
   */
  readonly pidFile?: string | undefined;
}

export interface Attempt {
  /** Resolves to the exit code once the server is gone; undefined when it had none to tell. */
  readonly ended: Promise<number | undefined>;
  readonly logStart: number;
  /** The server's process, as soon as it stands in its data directory. */
  server(): Promise<ProcessIdentity | undefined>;
  /** What the server calls itself. */
  readonly innerPid: number;
  /** Call once it is ready: ends what only waits for it. */
  settle(): void;
  kill(): Promise<void>;
}

/** What `flock` answers when somebody else holds the lock. */
export const LOCK_HELD = 75;
/** Low enough that the kernel ends something else, when memory is short. */
const OOM_SCORE = -900;
/**
 * High enough that it ends a backend sooner than its server and all else of the machine. To raise
 * it is always allowed; to lower it, not even root is everywhere.
 */
export const BACKEND_OOM_SCORE = 900;
/** A descriptor that every process of a server inherits: it closes with the last of them. */
const LIFELINE = 3;
const GONE_MS = 1_000;

/**
 * Nothing of this process's environment: it may hold secrets, and backends can be made to show it.
 */
const ENVIRONMENT = {
  LC_ALL: "C",
  TZ: "UTC",
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  PG_OOM_ADJUST_FILE: "/proc/self/oom_score_adj",
  PG_OOM_ADJUST_VALUE: BACKEND_OOM_SCORE.toString(),
};

export async function launch(settings: PostmasterSettings): Promise<Attempt> {
  const { dataDirectory, logFile, owner, enclosure } = settings;
  const log = await open(logFile, "a", 0o600);
  try {
    const { size: logStart } = await log.stat();
    const child = spawn("flock", command(settings), {
      detached: true,
      cwd: dataDirectory,
      env: ENVIRONMENT,
      stdio: ["ignore", log.fd, log.fd, ...(enclosure?.pidFile ? ["pipe" as const] : [])],
      ...(enclosure === undefined ? owner : {}),
    });
    const exited = exitOf(child, settings);
    child.unref();
    if (enclosure === undefined) await protect(child.pid);
    if (enclosure?.pidFile === undefined) return directAttempt(child, exited, logStart);
    return sandboxedAttempt({ child, exited, logStart, dataDirectory, pidFile: enclosure.pidFile });
  } finally {
    await log.close();
  }
}

function exitOf(child: ChildProcess, settings: PostmasterSettings): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  child.once("exit", (code) => resolve(code ?? undefined));
  child.once("error", (error) => {
    const message = `Could not run flock on ${settings.lockFile}: ${messageOf(error)}`;
    reject(new Fault("UNAVAILABLE", message));
  });
  promise.catch(() => undefined);
  return promise;
}

/** The process that was started becomes the server. */
function directAttempt(
  child: ChildProcess,
  ended: Promise<number | undefined>,
  logStart: number,
): Attempt {
  const pid = child.pid ?? 0;
  return {
    ended,
    logStart,
    innerPid: pid,
    server: async () => identifyProcess(pid),
    settle: () => undefined,
    kill: async () => {
      child.kill("SIGKILL");
    },
  };
}

/**
 * The process that was started only launches the server, and may end before it or wait for it. The
 * lifeline tells when the server and all its processes are gone.
 */
function sandboxedAttempt(options: {
  readonly child: ChildProcess;
  readonly exited: Promise<number | undefined>;
  readonly logStart: number;
  readonly dataDirectory: string;
  readonly pidFile: string;
}): Attempt {
  const { child, exited, logStart, dataDirectory, pidFile } = options;
  let known: ProcessIdentity | undefined;
  const ended = end();
  ended.catch(() => undefined);
  return { ended, logStart, innerPid: 1, server, settle: () => child.kill("SIGKILL"), kill };

  async function end(): Promise<number | undefined> {
    const [code] = await Promise.all([exited, closed(child)]);
    // Descriptors are closed a moment before the process ends.
    if (known !== undefined && !(await isGoneWithin(known, GONE_MS))) await watch(known);
    return code;
  }

  async function server(): Promise<ProcessIdentity | undefined> {
    const pid = await readPidFile(pidFile);
    if (pid !== undefined) known ??= await confirmPostmaster(pid, 1, dataDirectory);
    return known;
  }

  async function kill(): Promise<void> {
    child.kill("SIGKILL");
    const found = await server();
    if (found !== undefined) signalProcess(found, "SIGKILL");
  }
}

async function closed(child: ChildProcess): Promise<void> {
  const lifeline = child.stdio[LIFELINE];
  if (!lifeline || !("resume" in lifeline)) return;
  // It does not keep this process alive. Nobody should say anything through it: who does is cut
  // off.
  if ("unref" in lifeline && typeof lifeline.unref === "function") lifeline.unref();
  lifeline.once("data", () => lifeline.destroy());
  lifeline.on("error", () => undefined);
  await once(lifeline, "close");
}

/** Only who has the capability may. Without it backends are ended first all the same. */
async function protect(pid: number | undefined): Promise<void> {
  if (pid === undefined || !canChangeOwner()) return;
  await writeFile(`/proc/${pid}/oom_score_adj`, OOM_SCORE.toString()).catch(() => undefined);
}

function command(settings: PostmasterSettings): readonly string[] {
  const { engine, dataDirectory, lockFile, socketDirectory, enclosure } = settings;
  const postgres = join(engine.binDirectory, "postgres");
  const lock = ["-n", "-F", "-E", LOCK_HELD.toString(), lockFile];
  const where = ["-D", dataDirectory, "-k", socketDirectory, "-p", SOCKET_PORT.toString()];
  const server = [postgres, ...where];
  return [...lock, ...(enclosure?.wrap(server) ?? server)];
}
