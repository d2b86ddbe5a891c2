/** Which processes of a platform are which piece of it. */
import { lstatSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { type ProcessFacts, processesOf } from "./processes.ts";

export interface Pieces {
  readonly control: readonly number[];
  readonly agents: readonly number[];
  readonly gateway: readonly number[];
  /** Postmaster of the catalogue. */
  readonly catalogue: readonly number[];
  /** Postmasters of instances, by instance id. */
  readonly instances: ReadonlyMap<string, number>;
}

/** The home and what its symbolic links lead to: all that a platform may keep. */
export function rootsOf(home: string): string[] {
  return [home, ...linkTargets(home)];
}

export function piecesOf(roots: readonly string[]): Pieces {
  const processes = processesOf(roots);
  const postmasters = postmastersAmong(processes);
  return {
    control: running(processes, "control"),
    agents: running(processes, "agent"),
    gateway: running(processes, "gateway"),
    catalogue: postmasters.filter((each) => instanceOf(each) === "").map((each) => each.pid),
    instances: new Map(
      postmasters
        .filter((each) => instanceOf(each) !== "")
        .map((each) => [instanceOf(each), each.pid]),
    ),
  };
}

function running(processes: readonly ProcessFacts[], piece: string): number[] {
  return processes
    .filter((each) => each.arguments.some((word) => word.endsWith(`/${piece}/src/main.ts`)))
    .map((each) => each.pid);
}

/**
 * Backends replace their words by a title; only a postmaster still has the ones it was started
 * with, and for a moment a child that it has just forked.
 */
function postmastersAmong(processes: readonly ProcessFacts[]): ProcessFacts[] {
  const untitled = processes.filter(({ arguments: [program = "", ...words] }) => {
    return program.endsWith("/postgres") && words.includes("-D");
  });
  const pids = new Set(untitled.map((each) => each.pid));
  return untitled.filter((each) => !pids.has(each.parent));
}

function instanceOf(facts: ProcessFacts): string {
  const words = [facts.directory, ...facts.arguments].join(" ");
  return /\/instances\/(ins_[0-9a-z]{26})\b/.exec(words)?.[1] ?? "";
}

function linkTargets(directory: string): string[] {
  try {
    return readdirSync(directory)
      .map((name) => join(directory, name))
      .filter((path) => lstatSync(path).isSymbolicLink())
      .map((path) => realpathSync(path));
  } catch {
    return [];
  }
}
