/**
 * What is mounted under the agent's home, and which devices are made of files there, for nobody.
 */
import { realpath } from "node:fs/promises";
import { relative } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { type Layout, readEntry } from "./layout.ts";
import { detach, isUnder, mountsUnder, readLoopDevices } from "./mounts.ts";
import { runProgram } from "./run-program.ts";

export interface StrayVolumes {
  /** Where something is mounted that belongs to no instance. */
  readonly mounts: readonly string[];
  /** Devices made of a file that belongs to no instance. */
  readonly devices: readonly string[];
}

/** `known`: instances that are on disk, or being made or destroyed now. */
export async function findStrayVolumes(
  layout: Layout,
  known: ReadonlySet<InstanceId>,
): Promise<StrayVolumes> {
  const instances = await realpath(layout.instances).catch(() => layout.instances);
  const isStray = (path: string): boolean => {
    const [first = ""] = relative(instances, path).split("/");
    const entry = readEntry(first);
    return entry === undefined || !known.has(entry.id);
  };
  const [mounts, devices] = await Promise.all([mountsUnder(instances), readLoopDevices()]);
  return {
    mounts: mounts.map(({ at }) => at).filter(isStray),
    devices: devices
      .filter(({ image }) => isUnder(image, instances) && isStray(image))
      .map(({ device }) => device),
  };
}

/** Closes what an earlier agent left open. The files go with the directories they are in. */
export async function closeStrayVolumes(strays: StrayVolumes): Promise<void> {
  for (const at of strays.mounts) await runProgram("umount", [at]);
  const open = (await readLoopDevices()).filter(({ device }) => strays.devices.includes(device));
  for (const device of open) await detach(device); // Most are freed as their mount ends.
}
