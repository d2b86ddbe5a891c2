/**
 * Control groups: what the kernel lets a set of processes use, and what they used. One group for
 * each instance, `aerodb/<home>/<instance>` under the agent's own group.
 */
import type { GroupLimits } from "./group-limits.ts";

export type Controller = "cpu" | "memory" | "pids" | "io";

/** What a group used since it was made. What no controller counts is undefined. */
export interface GroupUsage {
  readonly cpuSeconds: number | undefined;
  readonly throttledPeriods: number | undefined;
  readonly throttledSeconds: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly oomKills: number | undefined;
  readonly processes: number | undefined;
  readonly readBytes: number | undefined;
  readonly writtenBytes: number | undefined;
}

export interface ControlGroups {
  readonly version: 1 | 2;
  /** Those that can be written here. `io` counts; it limits nothing. */
  readonly controllers: readonly Controller[];
  /** Makes a group, or brings the limits of one that is there in line. */
  make(name: string, limits: GroupLimits): Promise<void>;
  /** Files that a process writes `0` to, to be in the group with all that it starts. */
  joinFiles(name: string): readonly string[];
  /** Controllers whose group of this name a process is in. */
  holding(name: string, pid: number): Promise<readonly Controller[]>;
  /** Of a group that did nothing since `known` was read, only what tells so is read. */
  usage(name: string, known?: GroupUsage): GroupUsage;
  names(): Promise<readonly string[]>;
  /**
   * Moves a process to where it has processor time only that nobody else of the machine wants.
   * Returns whether it is there.
   */
  setAside(pid: number): Promise<boolean>;
  /** Moves it to the group of this name. What has ended stays where it is. */
  takeBack(name: string, pid: number): Promise<void>;
  /**
   * Removes a group once it is empty. Returns whether it is gone; one that still holds processes
   * after so long stays.
   */
  remove(name: string, patienceMs: number): Promise<boolean>;
  /** Kills who is in a group, and returns whether it is empty then: at the latest after so long. */
  end(name: string, patienceMs: number): Promise<boolean>;
}
