/** Processes that work in a home, and how they are ended. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import {
  isAlive,
  isOver,
  type ProcessIdentity,
  readProcessStat,
  signalProcess,
  sleep,
} from "@aerodb/runtime";

export interface FoundProcess extends ProcessIdentity {
  readonly parentPid: number;
  /** Its working directory; the kernel adds ` (deleted)` to one that is gone. */
  readonly directory: string;
  readonly command: readonly string[];
}

/** Sends each a signal that is still the process that was found. */
export function signalEach(processes: readonly FoundProcess[], signal: NodeJS.Signals): void {
  for (const each of processes) {
    try {
      signalProcess(each, signal);
    } catch {
      // It belongs to somebody else: then it is none of ours.
    }
  }
}

/** Waits until all are gone, at most `ms`. Returns who is left. */
export async function untilGone<Process extends ProcessIdentity>(
  processes: readonly Process[],
  ms: number,
): Promise<readonly Process[]> {
  let left = processes.filter(isAlive);
  for (let waited = 0; left.length > 0 && waited < ms; waited += 20) {
    await sleep(20);
    left = left.filter(isAlive);
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
    const stat = readProcessStat(pid);
    if (stat === undefined || isOver(stat.state)) return undefined;
    const { parentPid, startTicks } = stat;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    return { pid, parentPid, startTicks, directory, command };
  } catch {
    return undefined;
  }
}
