/** What the machine is, from what the kernel and the distribution say of it. */
import { readFile } from "node:fs/promises";
import {
  availableParallelism,
  cpus,
  arch as processorArchitecture,
  release,
  type as systemName,
  totalmem,
} from "node:os";

/** Boot id of the kernel: equal for processes that share a machine since its last start. */
export async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

/** Memory of the machine, or less where a control group holds the agent to less. */
export function memoryBytes(): bigint {
  const limit = process.constrainedMemory();
  return BigInt(limit > 0 ? Math.min(totalmem(), limit) : totalmem());
}

export function coreCount(): number {
  return availableParallelism();
}

export function kernelName(): string {
  return `${systemName()} ${release()}`;
}

export function architectureName(): string {
  return processorArchitecture();
}

/** Some processors do not name themselves to the kernel; then a program of the machine is asked. */
export async function readProcessor(): Promise<string> {
  const named = cpus()[0]?.model.trim() ?? "";
  if (named !== "" && named !== "unknown") return named;
  // Stays out of the memory of agents on all other machines.
  const { cpu } = await import("systeminformation");
  const { manufacturer, brand } = await cpu();
  return `${manufacturer} ${brand}`.trim();
}

/** The distribution, for example `Debian GNU/Linux 12 (bookworm)`. */
export async function readOperatingSystem(): Promise<string> {
  const texts = ["/etc/os-release", "/usr/lib/os-release"].map((path) => {
    return readFile(path, "utf8").catch(() => "");
  });
  return distributionIn((await Promise.all(texts)).join("\n"));
}

/** The pretty name in an os-release file; empty when it has none. */
export function distributionIn(text: string): string {
  const [, quoted = ""] = /^PRETTY_NAME=(.*)$/m.exec(text) ?? [];
  return quoted.trim().replace(/^(["'])(.*)\1$/, "$2");
}
