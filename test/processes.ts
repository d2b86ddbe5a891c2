/** What runs on this machine, read from /proc. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readProcessStat } from "@aerodb/runtime";
import { until } from "./until.ts";

export interface ProcessFacts {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly arguments: readonly string[];
  readonly directory: string;
  /** The whole of its environment at its start, to be searched for a path. */
  readonly environment: string;
}

/** Every process that works in one of the directories or was started with one in its words. */
export function processesOf(directories: readonly string[]): ProcessFacts[] {
  return allProcesses().filter(
    (each) => each.pid !== process.pid && directories.some((root) => concerns(each, root)),
  );
}

const MOMENT_MS = 1_000;

/** The same after a moment, if need be: a sandbox ends when it has seen that its server has. */
export async function lastingProcessesOf(directories: readonly string[]): Promise<ProcessFacts[]> {
  const gone = () => processesOf(directories).length === 0;
  await until("the last of them to end", gone, MOMENT_MS).catch(() => undefined);
  return processesOf(directories);
}

function allProcesses(): ProcessFacts[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => factsOf(Number(name)))
    .filter((facts) => facts !== undefined);
}

/** Whether a process with this pid lives; a zombie does not. */
export function lives(pid: number): boolean {
  const facts = factsOf(pid);
  return facts !== undefined && facts.state !== "Z";
}

/** Sends a signal; a process that is gone already is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function concerns(facts: ProcessFacts, root: string): boolean {
  if (facts.state === "Z") return false;
  const inside = `${root}/`;
  if (facts.directory === root || facts.directory.startsWith(inside)) return true;
  if (facts.arguments.some((word) => word === root || word.includes(inside))) return true;
  return facts.environment.includes(`=${root}\0`) || facts.environment.includes(inside);
}

function factsOf(pid: number): ProcessFacts | undefined {
  try {
    const stat = readProcessStat(pid);
    if (stat === undefined) return undefined;
    return {
      pid,
      state: stat.state,
      parent: stat.parentPid,
      arguments: readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1),
      directory: quietly(() => readlinkSync(`/proc/${pid}/cwd`)),
      environment: quietly(() => readFileSync(`/proc/${pid}/environ`, "utf8")),
    };
  } catch {
    return undefined;
  }
}

/** A zombie has no directory, and a process of somebody else shows nothing. */
function quietly(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
