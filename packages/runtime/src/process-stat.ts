/** What the kernel says of a process in one line. Such files are memory: reading blocks nobody. */
import { readFileSync } from "node:fs";

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
export interface ProcessStat {
  /** Name of the program, at most 15 bytes of it. */
  readonly program: string;
  /** `R` runs or waits for a processor, `S` sleeps, `T` is stopped, `Z` and `X` have ended. */
  readonly state: string;
  readonly parentPid: number;
  /** When it began, in clock ticks since the machine started: with the pid it names one process. */
  readonly startTicks: string;
  /** Processor time it had, in hundredths of a second. */
  readonly ticks: number;
  /** The same of what it started and waited for. */
  readonly childTicks: number;
}

/** Undefined when nobody has this pid. */
export function readProcessStat(pid: number | string): ProcessStat | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** Undefined for a line that is cut off. */
export function parseProcessStat(line: string): ProcessStat | undefined {
  const fields = line.slice(afterName(line)).split(" ");
  const startTicks = fields[19];
  if (startTicks === undefined) return undefined;
  return {
    program: line.slice(line.indexOf("(") + 1, line.lastIndexOf(")")),
    state: stateOf(line) ?? "",
    parentPid: Number(fields[1]),
    startTicks,
    ticks: Number(fields[11]) + Number(fields[12]),
    childTicks: Number(fields[13]) + Number(fields[14]),
  };
}

/** The state alone, of who is asked very often; undefined for a line that is cut off. */
export function stateOf(line: string): string | undefined {
  return line[afterName(line)];
}

/** Whether nobody has the pid, or only the exit status is left of who had it. */
export function isOver(state: string | undefined): boolean {
  return state === undefined || state === "Z" || state === "X";
}

/** The second field is the name in brackets, and may hold blanks and brackets itself. */
function afterName(line: string): number {
  return line.lastIndexOf(")") + 2;
}
