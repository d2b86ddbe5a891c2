/** A host that loses its power: what the kernel held is gone, what is on the disk is as it was. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openControlGroups } from "../../agent/src/limits/open-control-groups.ts";
import {
  isUnder,
  mountsUnder,
  readLoopDevices,
  unmountUnder,
} from "../../agent/src/storage/mounts.ts";
import type { Platform } from "../platform.ts";
import { processesOf, signal } from "../processes.ts";
import { until } from "../until.ts";

/** What the platform's first agent keeps. */
export function agentHome({ home }: Platform): string {
  return join(home, "state", "agents", "agent-1");
}

/**
 * Ends every process of the platform at once and takes away what no kernel keeps over a restart:
 * mounts, block devices of files, control groups, sockets. What servers noted about themselves
 * stays, and names `pid`, as if the kernel had given their pids to another program meanwhile.
 */
export async function cutPower(platform: Platform, pid: number): Promise<void> {
  const { roots } = platform;
  signal(platform.upPid, "SIGKILL");
  await until("every process to be gone", () => {
    const left = processesOf(roots);
    for (const each of left) signal(each.pid, "SIGKILL");
    return left.length === 0;
  });
  await platform.killUp();
  const home = agentHome(platform);
  for (const root of roots) await unmountUnder(root);
  await until("the kernel to hold nothing of it", async () => {
    const devices = (await readLoopDevices()).filter(({ image }) => isUnder(image, home));
    const groups = await openControlGroups(home);
    for (const name of (await groups?.names()) ?? []) await groups?.remove(name, 0);
    return (
      devices.length === 0 &&
      (await mountsUnder(home)).length === 0 &&
      ((await groups?.names()) ?? []).length === 0
    );
  });
  rmSync(join(home, "run"), { recursive: true });
  for (const directory of instanceDirectories(platform)) {
    renamePid(join(directory, "data", "postmaster.pid"), pid);
    renamePid(join(directory, "server.pid"), pid);
  }
}

function instanceDirectories(platform: Platform): readonly string[] {
  const instances = join(agentHome(platform), "instances");
  const names = readdirSync(instances).filter((name) => name.startsWith("ins_"));
  return names.map((name) => join(instances, name));
}

/** The first number in such a file is the pid; without a sandbox a server has one file only. */
function renamePid(path: string, pid: number): void {
  if (!existsSync(path)) return;
  const text = readFileSync(path, "utf8");
  expect(text).toMatch(/\d/);
  writeFileSync(path, text.replace(/\d+/, String(pid)));
}
