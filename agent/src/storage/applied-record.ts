/**
 * What the server of an instance was started with or brought to, in a file beside its data: an
 * agent that adopts the server knows what is to be done, and what waits for a restart.
 */
import { readFile } from "node:fs/promises";
import { replaceFile } from "@aerodb/runtime";
import type { AppliedSpec } from "../instance-spec.ts";

interface Written extends Omit<AppliedSpec, "startedFor"> {
  readonly startedFor: string;
}

/** Undefined when there is no record, or none that can be read: then nothing is known. */
export async function readApplied(path: string): Promise<AppliedSpec | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const { startedFor, startedWith, limits, pendingRestart } = parse(text);
  if (startedFor === undefined || !/^\d{1,20}$/.test(startedFor)) return undefined;
  if (typeof limits !== "string" || !Array.isArray(pendingRestart)) return undefined;
  const { memoryMiB, maxConnections } = startedWith ?? {};
  return {
    startedFor: BigInt(startedFor),
    // Agents before this one did not note it: what is not known holds nothing.
    startedWith: { memoryMiB: Number(memoryMiB) || 0, maxConnections: Number(maxConnections) || 0 },
    limits,
    pendingRestart: pendingRestart.map(String),
  };
}

/** Whole or not at all. */
export async function writeApplied(path: string, applied: AppliedSpec): Promise<void> {
  const written: Written = { ...applied, startedFor: applied.startedFor.toString() };
  // A server that runs does not outlast a power failure either.
  await replaceFile(path, JSON.stringify(written), { flush: false });
}

function parse(text: string): Partial<Written> {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
