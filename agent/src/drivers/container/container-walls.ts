/** Which walls stand around a container that runs: read from Docker and the kernel, not assumed. */
import { readFile } from "node:fs/promises";
import type Docker from "dockerode";
import { sparesServer } from "../../limits/process-limits.ts";

export async function wallsAround(config: Docker.HostConfig, pid: number): Promise<string[]> {
  const [status, limits] = await Promise.all(
    ["status", "limits"].map((name) => readFile(`/proc/${pid}/${name}`, "latin1").catch(() => "")),
  );
  const [, user] = /^Uid:\t(\d+)\t/m.exec(status ?? "") ?? [];
  const walls = {
    user: user !== undefined && Number(user) !== process.geteuid?.(),
    "cgroup:cpu": (config.CpuQuota ?? 0) > 0,
    "cgroup:memory": (config.Memory ?? 0) > 0,
    "cgroup:pids": (config.PidsLimit ?? 0) > 0,
    "backend:memory": /^Max data size +\d/m.test(limits ?? ""),
    "oom:backends": await sparesServer(pid),
    "sandbox:container": true,
    "network:none": config.NetworkMode === "none",
  };
  return Object.entries(walls).flatMap(([name, stands]) => (stands ? [name] : []));
}
