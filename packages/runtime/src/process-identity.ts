/**
 * Which process a pid stands for. Pids are used again, so a pid alone is never signalled: with the
 * start time beside it, it names one process for as long as the machine runs.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isOver, readProcessStat, stateOf } from "./process-stat.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since the machine started. */
  readonly startTicks: string;
}

/**
 * The process that has a pid now; undefined when none has, or only its exit status is left. At
 * once: the kernel waits for nobody here, and the thread pool would cost forty times as much.
 */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const stat = readProcessStat(pid);
  if (stat === undefined || isOver(stat.state)) return undefined;
  return { pid, startTicks: stat.startTicks };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTicks === identity.startTicks;
}

const STAT_BYTES = 1_024;
const read = Buffer.allocUnsafe(STAT_BYTES);

/**
 * A process that is looked at again and again. What the kernel says of it is kept open: that names
 * this process alone, whoever gets its pid, and takes a quarter of the time that opening it does.
 */
export class ProcessSight {
  readonly identity: ProcessIdentity;
  #file: number | undefined;

  constructor(identity: ProcessIdentity) {
    this.identity = identity;
  }

  /** Whether it runs. One of which only the exit status is left does not. */
  isAlive(): boolean {
    this.#file ??= openStat(this.identity);
    if (this.#file === undefined) return isAlive(this.identity);
    try {
      return !isOver(
        stateOf(read.toString("latin1", 0, readSync(this.#file, read, 0, STAT_BYTES, 0))),
      );
    } catch {
      return false; // Nobody has this file any more.
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** Undefined where it cannot be kept open, and where it is another process by now. */
function openStat(identity: ProcessIdentity): number | undefined {
  let file: number;
  try {
    file = openSync(`/proc/${identity.pid}/stat`, "r");
  } catch {
    return undefined;
  }
  // Had the pid been another's as it was opened, it would not be this one's now.
  if (isAlive(identity)) return file;
  closeSync(file);
  return undefined;
}

/** Whether a pid is anybody's: one call of the kernel, where `isAlive` reads a file. */
export function isTaken(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The pid that a process has for itself: in a namespace of processes that is another than here. */
export async function innerPidOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  const pids = /^NSpid:(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/);
  return pids === undefined ? undefined : Number(pids.at(-1));
}

/** Sends a signal, unless the process is gone. Throws EPERM where it may not be sent one. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
