/** What processes and the machine use, read from the kernel. */
import { readdirSync, readFileSync } from "node:fs";
import { readProcessStat } from "@aerodb/runtime";

const KIB = 1_024;
/** Ticks a second, the same on every Linux that Node runs on. */
const TICKS = 100;

export interface Memory {
  readonly rssBytes: number;
  /** What is shared counts in parts. */
  readonly pssBytes: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  return { rssBytes: kib(text, "Rss"), pssBytes: kib(text, "Pss") };
}

/** Of a process and all it started that lives: a session may end while it is looked at. */
export function treeMemoryOf(pid: number): Memory {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1");
    const below = children.split(" ").filter(Boolean).map(Number).map(treeMemoryOf);
    return [memoryOf(pid), ...below].reduce((sum, each) => ({
      rssBytes: sum.rssBytes + each.rssBytes,
      pssBytes: sum.pssBytes + each.pssBytes,
    }));
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH"].includes(code)) return { rssBytes: 0, pssBytes: 0 };
    throw error;
  }
}

/** Of a process, and of what it started that has ended. */
export function cpuSecondsOf(pid: number): number {
  const stat = readProcessStat(pid);
  if (stat === undefined) throw new Error(`there is no process ${pid}`);
  return (stat.ticks + stat.childTicks) / TICKS;
}

/** Of what this process started and waited for. */
export function cpuSecondsOfEnded(): number {
  return (readProcessStat(process.pid)?.childTicks ?? Number.NaN) / TICKS;
}

/** Of all threads of a process that live, to the nanosecond: for what takes less than a tick. */
export function cpuMicrosecondsOf(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const spent = tasks.map((task) => {
    const [onCpu = "0"] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ");
    return Number(onCpu) / 1_000;
  });
  return spent.reduce((sum, each) => sum + each, 0);
}

/** What the kernel itself holds for all processes, namespaces and control groups. */
export function kernelBytes(): number {
  const text = readFileSync("/proc/meminfo", "latin1");
  const names = ["PageTables", "KernelStack", "SUnreclaim", "Percpu"];
  return names.reduce((sum, name) => sum + kib(text, name), 0);
}

function kib(text: string, name: string): number {
  const [, value = "0"] = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text) ?? [];
  return Number(value) * KIB;
}
