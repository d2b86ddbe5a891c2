/**
 * Which process it is. Numbers are used again: a process is known by its number and the tick at
 * which it started, and is signalled only while both fit.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { sleep } from "@aerodb/runtime";

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start, as the kernel writes it. */
  readonly startTicks: string;
}

export interface FoundProcess extends ProcessIdentity {
  readonly parentPid: number;
  /** Its working directory; the kernel adds ` (deleted)` to one that is gone. */
  readonly directory: string;
  readonly command: readonly string[];
}

/** The process that has this number now; undefined when none has, or only its corpse. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const fields = readStat(pid);
  return fields === undefined ? undefined : { pid, startTicks: fields.startTicks };
}

export function isRunning(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.startTicks === identity.startTicks;
}

/** Sends a signal if the process is still the one that is meant. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isRunning(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch {
    // It went in between, or belongs to somebody else: then it is none of ours.
  }
}

/** Waits until all are gone, at most `ms`. Returns who is left. */
export async function untilGone<Process extends ProcessIdentity>(
  processes: readonly Process[],
  ms: number,
): Promise<readonly Process[]> {
  let left = processes.filter(isRunning);
  for (let waited = 0; left.length > 0 && waited < ms; waited += 20) {
    await sleep(20);
    left = left.filter(isRunning);
  }
  return left;
}

/** Every process that works in one of the directories or below. */
export function processesUnder(directories: readonly string[]): readonly FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const each = readProcess(Number(name));
    if (each !== undefined && directories.some((directory) => isUnder(each.directory, directory)))
      found.push(each);
  }
  return found;
}

function isUnder(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function readProcess(pid: number): FoundProcess | undefined {
  try {
    const directory = readlinkSync(`/proc/${pid}/cwd`);
    const fields = readStat(pid);
    if (fields === undefined) return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    return { pid, ...fields, directory, command };
  } catch {
    return undefined;
  }
}

function readStat(pid: number): { parentPid: number; startTicks: string } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The second field is the program's name in brackets, which may hold blanks and brackets.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parentPid, startTicks] = [fields[0], fields[1], fields[19]];
  if (state === "Z" || state === "X" || startTicks === undefined) return undefined;
  return { parentPid: Number(parentPid), startTicks };
}
