/**
 * One `up` at a time works on a home. The right to it is a lock of the kernel's on a file, which
 * ends with the process that holds it however that ends; who holds it is written beside it, for
 * people and for the other verbs.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "@aerodb/model";
import { identifyProcess, isAlive, type ProcessIdentity, replaceFileSync } from "@aerodb/runtime";

/** What a running `up` tells about itself. */
export interface RunningUp extends ProcessIdentity {
  readonly ports: {
    readonly rest: number;
    readonly grpc: number;
    readonly pg: number;
    readonly link: number;
  };
  readonly agents: number;
}

export interface HomeLease {
  release(): void;
}

const LOCK_FILE = "up.lock";
const HOLDER_FILE = "up.json";

/** Takes the home for this process. Refuses with who has it when another `up` runs on it. */
export function takeHome(home: string, about: Omit<RunningUp, keyof ProcessIdentity>): HomeLease {
  const lock = new DatabaseSync(join(home, LOCK_FILE), { timeout: 0 });
  try {
    lock.exec("pragma locking_mode = exclusive; begin exclusive");
  } catch {
    lock.close();
    throw new Fault("UNAVAILABLE", takenSentence(home));
  }
  const self = identifyProcess(process.pid);
  if (self === undefined) throw new Error("bug: no /proc entry for this process");
  const path = join(home, HOLDER_FILE);
  replaceFileSync(path, `${JSON.stringify({ ...self, ...about })}\n`, {
    mode: 0o644,
    flush: false,
  });
  return {
    release() {
      rmSync(path, { force: true });
      lock.close();
    },
  };
}

function takenSentence(home: string): string {
  const holder = findRunningUp(home);
  const who = holder === undefined ? "" : ` (process ${holder.pid})`;
  return `Another "aerodb up"${who} works on ${home}: stop it, or give this one another --home.`;
}

/** The `up` that runs on a home; undefined when none does, or the one that did was killed. */
export function findRunningUp(home: string): RunningUp | undefined {
  try {
    const holder = JSON.parse(readFileSync(join(home, HOLDER_FILE), "utf8")) as RunningUp;
    return isAlive(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}
