/**
 * Control groups of the second version: one tree, in which a group with groups below it holds no
 * processes. So the agent steps aside into a group of its own where it was given one, and else,
 * being root, uses the top of the tree.
 */
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { Fault } from "@aerodb/model";
import type { ControlGroups, Controller, GroupUsage } from "./control-groups.ts";
import { endGroup } from "./end-group.ts";
import {
  CPU_PERIOD_US,
  canMakeIn,
  directoryOf,
  fieldIn,
  foldersIn,
  type GroupRoots,
  groupsOf,
  isStill,
  mountsOf,
  numberIn,
  OpenCounters,
  outlastRemoval,
  ownPart,
  readCounter,
  removeGroup,
  scaled,
  setAsideIn,
  setIfThere,
  setLimit,
  workingSet,
} from "./group-files.ts";
import type { GroupLimits } from "./group-limits.ts";

const WANTED: readonly Controller[] = ["cpu", "memory", "pids", "io"];
/** Where the agent itself goes; a unit's `DelegateSubgroup=` should name the same. */
const AGENT_GROUP = "aerodb-agent";
/** What is read at every look: processor time, and the number of processes. */
const EACH_LOOK = ["cpu.stat", "pids.current"] as const;
const US_PER_MILLI = CPU_PERIOD_US / 1_000;
const US_PER_SECOND = 1e6;
const WEIGHT_PER_CORE = 100;
const MOST_WEIGHT = 10_000;
/** Reclaim begins this much before the limit ends processes. */
const GENTLE_PART = 20;

/** Undefined where no controller can be had. */
export async function openGroupsV2(
  home: string,
  roots: GroupRoots,
): Promise<ControlGroups | undefined> {
  const mount = (await mountsOf(roots)).find(({ type }) => type === "cgroup2");
  const group = (await groupsOf(roots.ownGroups)).get("");
  if (mount === undefined || group === undefined) return undefined;
  const own = directoryOf(mount, group);
  const given = basename(own) === AGENT_GROUP ? dirname(own) : own;
  for (const above of new Set([given, mount.point])) {
    if (!(await canMakeIn(above))) continue;
    const enabled = await enable(above);
    if (enabled.length > 0) return new GroupsV2(above, ownPart(home), enabled);
  }
  return undefined;
}

class GroupsV2 implements ControlGroups {
  readonly version = 2;
  readonly controllers: readonly Controller[];
  readonly #above: string;
  readonly #part: string;
  readonly #counters = new OpenCounters();

  constructor(above: string, part: string, controllers: readonly Controller[]) {
    this.#above = above;
    this.#part = part;
    this.controllers = controllers;
  }

  async make(name: string, limits: GroupLimits): Promise<void> {
    const directory = this.#directory(name);
    await outlastRemoval(async () => {
      await this.#makeParents();
      // Not its parents: what was removed meanwhile has to hand on its controllers again.
      if ((await foldersIn(dirname(directory))).includes(name)) return;
      await mkdir(directory);
    });
    const tasks: Readonly<Record<Controller, () => Promise<void>>> = {
      cpu: () => limitCpu(directory, limits),
      memory: () => limitMemory(directory, limits.memoryBytes),
      pids: () => setLimit(directory, "pids.max", limits.processes.toString()),
      io: () => setIfThere(directory, "io.weight", weightOf(limits).toString()),
    };
    await Promise.all(this.controllers.map((controller) => tasks[controller]()));
  }

  joinFiles(name: string): readonly string[] {
    return [join(this.#directory(name), "cgroup.procs")];
  }

  async holding(name: string, pid: number): Promise<readonly Controller[]> {
    const group = (await groupsOf(`/proc/${pid}/cgroup`)).get("");
    return group?.endsWith(`/${join(this.#part, name)}`) ? this.controllers : [];
  }

  usage(name: string, known?: GroupUsage): GroupUsage {
    return usageV2(this.#directory(name), known, this.#counters.read);
  }

  names(): Promise<readonly string[]> {
    return foldersIn(join(this.#above, this.#part));
  }

  async remove(name: string, patienceMs: number): Promise<boolean> {
    for (const file of EACH_LOOK) this.#counters.close(this.#directory(name), file);
    const gone = await removeGroup(this.#directory(name), patienceMs);
    // The home's goes with the last of its instances.
    await rmdir(join(this.#above, this.#part)).catch(() => undefined);
    return gone;
  }

  end(name: string, patienceMs: number): Promise<boolean> {
    const holds = async (pid: number) => (await this.holding(name, pid)).length > 0;
    return endGroup({ directories: [this.#directory(name)], holds }, patienceMs);
  }

  setAside(pid: number): Promise<boolean> {
    return setAsideIn(this.#above, { file: "cpu.weight", value: "1" }, pid);
  }

  async takeBack(name: string, pid: number): Promise<void> {
    await setIfThere(this.#directory(name), "cgroup.procs", pid.toString());
  }

  /** A controller reaches a group only when each group above it hands it on. */
  async #makeParents(): Promise<void> {
    const weight = Math.min(availableParallelism() * WEIGHT_PER_CORE, MOST_WEIGHT).toString();
    const parents = [dirname(this.#part), this.#part].map((part) => join(this.#above, part));
    for (const directory of parents) {
      if ((await mkdir(directory, { recursive: true })) === undefined) continue;
      await handOn(directory, this.controllers);
      await setIfThere(directory, "cpu.weight", weight);
    }
  }

  #directory(name: string): string {
    return join(this.#above, this.#part, name);
  }
}

/**
 * What a group counts: one of ours, or another that a process is in. `readOften` reads what is read
 * at every look.
 */
export function usageV2(
  directory: string,
  known?: GroupUsage,
  readOften: typeof readCounter = readCounter,
): GroupUsage {
  const [cpu, pids] = EACH_LOOK.map((file) => readOften(directory, file));
  const cpuSeconds = scaled(fieldIn(cpu, "usage_usec"), US_PER_SECOND);
  const processes = numberIn(pids);
  if (isStill(known, cpuSeconds)) return { ...known, cpuSeconds, processes };
  const memory = numberIn(readCounter(directory, "memory.current"));
  const memoryStat = readCounter(directory, "memory.stat");
  const io = readCounter(directory, "io.stat");
  return {
    cpuSeconds,
    throttledPeriods: fieldIn(cpu, "nr_throttled"),
    throttledSeconds: scaled(fieldIn(cpu, "throttled_usec"), US_PER_SECOND),
    memoryBytes: workingSet(memory, fieldIn(memoryStat, "inactive_file")),
    oomKills: fieldIn(readCounter(directory, "memory.events"), "oom_kill"),
    processes,
    readBytes: movedBytes(io, "rbytes"),
    writtenBytes: movedBytes(io, "wbytes"),
  };
}

/** Makes the controllers of a group available to those below it; returns which are. */
async function enable(above: string): Promise<readonly Controller[]> {
  const offered = words(await readFile(join(above, "cgroup.controllers"), "utf8").catch(() => ""));
  const wanted = WANTED.filter((controller) => offered.includes(controller));
  if (wanted.length === 0) return [];
  if ((await handOn(above, wanted)).length < wanted.length) await stepAside(above);
  return handOn(above, wanted);
}

/** One by one: what a kernel refuses should not keep the others away. */
async function handOn(
  directory: string,
  controllers: readonly Controller[],
): Promise<readonly Controller[]> {
  const file = join(directory, "cgroup.subtree_control");
  const before = words(await readFile(file, "utf8").catch(() => ""));
  const enabled: Controller[] = [];
  for (const controller of controllers) {
    const there = before.includes(controller) || (await wrote(file, `+${controller}`));
    if (there) enabled.push(controller);
  }
  return enabled;
}

/** Leaves a group that is all the agent's, so that there can be groups below it. */
async function stepAside(above: string): Promise<void> {
  const inside = words(await readFile(join(above, "cgroup.procs"), "utf8").catch(() => ""));
  if (inside.length !== 1 || inside[0] !== process.pid.toString()) return;
  const aside = join(above, AGENT_GROUP);
  await mkdir(aside, { recursive: true }).catch(() => undefined);
  await wrote(join(aside, "cgroup.procs"), process.pid.toString());
}

function words(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function wrote(file: string, text: string): Promise<boolean> {
  return writeFile(file, text).then(
    () => true,
    () => false,
  );
}

async function limitCpu(directory: string, limits: GroupLimits): Promise<void> {
  const quotaUs = limits.cpuQuotaMillis * US_PER_MILLI;
  await setLimit(directory, "cpu.weight", weightOf(limits).toString());
  // A burst above the quota is refused, so it makes way first.
  await setIfThere(directory, "cpu.max.burst", "0");
  await setLimit(directory, "cpu.max", `${quotaUs} ${CPU_PERIOD_US}`);
  await setIfThere(directory, "cpu.max.burst", quotaUs.toString());
}

/**
 * A limit under what is used would end processes here: what can be given up is, then it is asked.
 */
async function limitMemory(directory: string, bytes: number): Promise<void> {
  const over = overBy(directory, bytes);
  if (over > 0) {
    await setIfThere(directory, "memory.reclaim", over.toString());
    if (overBy(directory, bytes) > 0) {
      throw new Fault("UNAVAILABLE", `${directory} uses more than ${bytes} bytes of memory now.`);
    }
  }
  await setIfThere(directory, "memory.swap.max", "0");
  await setIfThere(directory, "memory.high", "max");
  await setLimit(directory, "memory.max", bytes.toString());
  await setIfThere(directory, "memory.high", (bytes - Math.floor(bytes / GENTLE_PART)).toString());
}

function overBy(directory: string, bytes: number): number {
  return (numberIn(readCounter(directory, "memory.current")) ?? 0) - bytes;
}

function weightOf({ cpuWeightMillis }: GroupLimits): number {
  const weight = Math.round((cpuWeightMillis * WEIGHT_PER_CORE) / 1_000);
  return Math.min(Math.max(weight, 1), MOST_WEIGHT);
}

/** Sum over devices of lines `8:0 rbytes=4096 wbytes=0 …`. */
function movedBytes(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const found = text.matchAll(new RegExp(`\\b${name}=(\\d+)`, "g"));
  return [...found].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}
