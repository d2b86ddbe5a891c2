/** What the host as a whole has and uses, by the kernel's own figures, and what the agent uses. */
import { readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import type { MetricName, Readings } from "@aerodb/model";
import { Counters } from "./counters.ts";

const KIB = 1_024;
const MICROSECONDS = 1_000_000;
const TICKS_PER_SECOND = 100;
/** Where in the line of all processors the time is that nobody used: idle, iowait. */
const UNUSED = [3, 4];
/** The time of guests is part of the time of users already. */
const COUNTED = 8;

export class HostMeter {
  readonly #home: string;
  readonly #counters = new Counters();

  constructor(home: string) {
    this.#home = home;
  }

  async measure(): Promise<Readings> {
    const disk = await statfs(this.#home);
    return {
      ...memory(),
      load_1m: Number(read("/proc/loadavg").split(" ")[0]),
      disk_total_bytes: disk.blocks * disk.bsize,
      disk_free_bytes: disk.bavail * disk.bsize,
      agent_memory_bytes: process.memoryUsage.rss(),
      ...this.#counters.advance({ ...sums(), agent_cpu_seconds: ownSeconds() }),
    };
  }
}

function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / MICROSECONDS;
}

function memory(): Readings {
  const text = read("/proc/meminfo");
  const bytes = (name: string) => {
    const [, kib] = new RegExp(`^${name}: +([0-9]+) kB`, "m").exec(text) ?? [];
    return Number(kib ?? 0) * KIB;
  };
  return {
    memory_total_bytes: bytes("MemTotal"),
    memory_available_bytes: bytes("MemAvailable"),
  };
}

function sums(): Readings {
  return {
    cpu_seconds: busySeconds(read("/proc/stat")),
    ...pressure("cpu", "cpu_pressure_seconds"),
    ...pressure("memory", "memory_pressure_seconds"),
    ...pressure("io", "io_pressure_seconds"),
  };
}

function busySeconds(stat: string): number {
  const [line = ""] = stat.split("\n", 1);
  const ticks = line
    .split(/ +/)
    .slice(1, 1 + COUNTED)
    .map(Number);
  const used = ticks.filter((_, index) => !UNUSED.includes(index));
  return used.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
}

/** Time in which at least one process was held up; nothing where the kernel does not tell. */
function pressure(resource: string, name: MetricName): Readings {
  try {
    const [, total] = /^some .*total=([0-9]+)/m.exec(read(`/proc/pressure/${resource}`)) ?? [];
    return total === undefined ? {} : { [name]: Number(total) / MICROSECONDS };
  } catch {
    return {};
  }
}

function read(path: string): string {
  return readFileSync(path, "utf8");
}
