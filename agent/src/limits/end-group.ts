/** Ends whoever is in a control group, which nobody leaves by itself: a server that hides, too. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { identifyProcess, monotonicMs, signalProcess, sleep } from "@aerodb/runtime";
import { setIfThere } from "./group-files.ts";

const LOOK_MS = 20;

export interface OccupiedGroup {
  /** One for each hierarchy. */
  readonly directories: readonly string[];
  /** Whether a process is in it. */
  readonly holds: (pid: number) => Promise<boolean>;
}

/** Returns whether it is empty. What is in it starts nothing more. */
export async function endGroup(group: OccupiedGroup, patienceMs: number): Promise<boolean> {
  const { directories, holds } = group;
  for (const directory of directories) await setIfThere(directory, "pids.max", "0");
  const start = monotonicMs();
  for (;;) {
    const pids = new Set((await Promise.all(directories.map(pidsIn))).flat());
    if (pids.size === 0) return true;
    if (monotonicMs() - start >= patienceMs) return false;
    for (const pid of pids) {
      // Looked for again once it is known which process it is: a pid is used again.
      const identity = identifyProcess(pid);
      if (identity !== undefined && (await holds(pid))) signalProcess(identity, "SIGKILL");
    }
    await sleep(LOOK_MS);
  }
}

async function pidsIn(directory: string): Promise<readonly number[]> {
  const text = await readFile(join(directory, "cgroup.procs"), "latin1").catch(() => "");
  return text.split("\n").flatMap((line) => (line === "" ? [] : [Number(line)]));
}
