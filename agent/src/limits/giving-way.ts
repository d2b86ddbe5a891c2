/**
 * Work of the platform in a server gives way to what its tenants do: its process gets what time of
 * the processor nobody else wants. A lower niceness would not do: the kernel weighs groups against
 * each other, and takes a processor from a group that has it after some milliseconds only.
 */
import { readFileSync } from "node:fs";
import { every, isAlive, type ProcessIdentity, readProcessStat } from "@aerodb/runtime";
import type { ControlGroups } from "./control-groups.ts";

/**
 * Who never gets any keeps what others wait for, as a page of the catalogue, so it is seen to: it
 * wanted the processor all the time between two looks, and had next to nothing of it.
 */
const LOOK_MS = 200;
const STARVED_TICKS = 2;

/** Ends it: the process is like the others of its server again. Never rejects. */
export type GivingWay = () => Promise<void>;

/** Undefined where the process is in no group of this name, or cannot be moved. */
export async function giveWay(
  groups: ControlGroups,
  name: string,
  backend: ProcessIdentity,
): Promise<GivingWay | undefined> {
  const { pid } = backend;
  const held = await groups.holding(name, pid);
  if (!held.includes("cpu") || !(await groups.setAside(pid))) return undefined;
  const over = new AbortController();
  let returned: Promise<void> | undefined;
  const end = (): Promise<void> => {
    over.abort();
    // Its number may be another's by now.
    returned ??= isAlive(backend) ? groups.takeBack(name, pid) : Promise.resolve();
    return returned;
  };
  let before = standingOf(pid);
  const look = (): void => {
    const now = standingOf(pid);
    if (isStarved(before, now)) void end();
    before = now;
  };
  every(LOOK_MS, look, over.signal);
  return end;
}

interface Standing {
  /** Whether it runs, or waits for a processor. */
  readonly wants: boolean;
  /** Processor time it had, in hundredths of a second. */
  readonly ticks: number;
  /** How often it has waited for something else. */
  readonly waits: string | undefined;
}

function standingOf(pid: number): Standing {
  const { state, ticks = 0 } = readProcessStat(pid) ?? {};
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const [, waits] = /^voluntary_ctxt_switches:\s*(\d+)/m.exec(status) ?? [];
    return { wants: state === "R", ticks, waits };
  } catch {
    return { wants: false, ticks: 0, waits: undefined };
  }
}

function isStarved(before: Standing, now: Standing): boolean {
  const wants = before.wants && now.wants && before.waits === now.waits;
  return wants && now.ticks - before.ticks <= STARVED_TICKS;
}
