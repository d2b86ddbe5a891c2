/** Control groups of the first version: a tree for each controller. */
import { mkdir, rmdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
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

/** What the trees are called, and what we call what they do. */
const TREES = { cpu: "cpu", cpuacct: "cpu", memory: "memory", pids: "pids", blkio: "io" } as const;
export type Tree = keyof typeof TREES;
const TREE_NAMES = Object.keys(TREES) as readonly Tree[];

/** What is read at every look: processor time, and the number of processes. */
const EACH_LOOK = [
  ["cpuacct", "cpuacct.usage"],
  ["pids", "pids.current"],
] as const;
const US_PER_MILLI = CPU_PERIOD_US / 1_000;
const SHARES_PER_CORE = 1_024;
const LEAST_SHARES = 2;
const MOST_SHARES = 262_144;
const NS_PER_SECOND = 1e9;

/** Undefined where none of the trees can be written. */
export async function openGroupsV1(
  home: string,
  roots: GroupRoots,
): Promise<ControlGroups | undefined> {
  const mounts = (await mountsOf(roots)).filter(({ type }) => type === "cgroup");
  const own = await groupsOf(roots.ownGroups);
  const found = new Map<Tree, string>();
  for (const tree of TREE_NAMES) {
    const mount = mounts.find(({ options }) => options.includes(tree));
    const group = own.get(tree);
    if (mount === undefined || group === undefined) continue;
    const directory = directoryOf(mount, group);
    if (await canMakeIn(directory)) found.set(tree, directory);
  }
  return found.size === 0 ? undefined : new GroupsV1(found, ownPart(home));
}

class GroupsV1 implements ControlGroups {
  readonly version = 1;
  readonly controllers: readonly Controller[];
  readonly #above: ReadonlyMap<Tree, string>;
  readonly #part: string;
  /** Where the groups of this home are. */
  readonly #under: ReadonlyMap<Tree, string>;
  readonly #counters = new OpenCounters();

  constructor(above: ReadonlyMap<Tree, string>, part: string) {
    this.#above = above;
    this.#under = new Map([...above].map(([tree, path]) => [tree, join(path, part)]));
    this.#part = part;
    this.controllers = [...new Set([...above.keys()].map((tree) => TREES[tree]))];
  }

  async make(name: string, limits: GroupLimits): Promise<void> {
    await Promise.all(
      [...this.#above.keys()].map(async (tree) => {
        const directory = this.#directory(tree, name) ?? "";
        const made = await outlastRemoval(() => mkdir(directory, { recursive: true }));
        if (made !== undefined && tree === "cpu") await this.#raiseParents();
        await this.#limit(tree, directory, limits);
      }),
    );
  }

  /**
   * A thread that moves itself, by `tasks`, needs no lock over all processes of the machine, which
   * is what moving by `cgroup.procs` waits for: some 10 ms. A shell has one thread.
   */
  joinFiles(name: string): readonly string[] {
    return this.#directories(name).map((directory) => join(directory, "tasks"));
  }

  async holding(name: string, pid: number): Promise<readonly Controller[]> {
    const groups = await groupsOf(`/proc/${pid}/cgroup`);
    const ending = `/${join(this.#part, name)}`;
    const trees = [...this.#above.keys()].filter((tree) => groups.get(tree)?.endsWith(ending));
    return [...new Set(trees.map((tree) => TREES[tree]))];
  }

  usage(name: string, known?: GroupUsage): GroupUsage {
    return usageV1((tree) => this.#directory(tree, name), known, this.#counters.read);
  }

  async names(): Promise<readonly string[]> {
    const trees = [...this.#above.values()].map((above) => foldersIn(join(above, this.#part)));
    return [...new Set((await Promise.all(trees)).flat())];
  }

  async remove(name: string, patienceMs: number): Promise<boolean> {
    for (const [tree, file] of EACH_LOOK) this.#counters.close(this.#directory(tree, name), file);
    const removed = await Promise.all(
      this.#directories(name).map((directory) => removeGroup(directory, patienceMs)),
    );
    // The home's goes with the last of its instances.
    for (const above of this.#above.values())
      await rmdir(join(above, this.#part)).catch(() => undefined);
    return removed.every((gone) => gone);
  }

  end(name: string, patienceMs: number): Promise<boolean> {
    const holds = async (pid: number) => (await this.holding(name, pid)).length > 0;
    return endGroup({ directories: this.#directories(name), holds }, patienceMs);
  }

  /** Only by the tree of the processor: its memory is what it was. */
  async setAside(pid: number): Promise<boolean> {
    const above = this.#above.get("cpu");
    const least = { file: "cpu.shares", value: LEAST_SHARES.toString() };
    return above !== undefined && setAsideIn(above, least, pid);
  }

  async takeBack(name: string, pid: number): Promise<void> {
    const directory = this.#directory("cpu", name);
    if (directory !== undefined) await setIfThere(directory, "cgroup.procs", pid.toString());
  }

  async #limit(tree: Tree, directory: string, limits: GroupLimits): Promise<void> {
    switch (tree) {
      case "cpu":
        return limitCpu(directory, limits);
      case "memory":
        return limitMemory(directory, limits.memoryBytes.toString());
      case "pids":
        return setLimit(directory, "pids.max", limits.processes.toString());
      case "cpuacct":
      case "blkio":
        return; // These count only.
    }
  }

  /** All instances together weigh what the machine has, or everything else would outweigh them. */
  async #raiseParents(): Promise<void> {
    const above = this.#above.get("cpu") ?? "";
    const shares = (availableParallelism() * SHARES_PER_CORE).toString();
    for (let path = this.#part; path !== "."; path = join(path, "..")) {
      await setIfThere(join(above, path), "cpu.shares", shares);
    }
  }

  /** Each once: a hierarchy may have several controllers. */
  #directories(name: string): readonly string[] {
    return [...new Set([...this.#under.values()].map((under) => `${under}/${name}`))];
  }

  #directory(tree: Tree, name: string): string | undefined {
    const under = this.#under.get(tree);
    return under === undefined ? undefined : `${under}/${name}`;
  }
}

/**
 * What the groups count, by the tree: one of ours, or another that a process is in. `readOften`
 * reads what is read at every look.
 */
export function usageV1(
  groupIn: (tree: Tree) => string | undefined,
  known?: GroupUsage,
  readOften: typeof readCounter = readCounter,
): GroupUsage {
  const [cpuacct, pids] = EACH_LOOK.map(([tree, file]) => readOften(groupIn(tree), file));
  const cpuSeconds = scaled(numberIn(cpuacct), NS_PER_SECOND);
  const processes = numberIn(pids);
  if (isStill(known, cpuSeconds)) return { ...known, cpuSeconds, processes };
  const [cpu, memory, blkio] = (["cpu", "memory", "blkio"] as const).map(groupIn);
  const cpuStat = readCounter(cpu, "cpu.stat");
  const memoryNow = numberIn(readCounter(memory, "memory.usage_in_bytes"));
  const memoryStat = readCounter(memory, "memory.stat");
  const moved = readCounter(blkio, "blkio.throttle.io_service_bytes_recursive");
  return {
    cpuSeconds,
    throttledPeriods: fieldIn(cpuStat, "nr_throttled"),
    throttledSeconds: scaled(fieldIn(cpuStat, "throttled_time"), NS_PER_SECOND),
    memoryBytes: workingSet(memoryNow, fieldIn(memoryStat, "total_inactive_file")),
    oomKills: fieldIn(readCounter(memory, "memory.oom_control"), "oom_kill"),
    processes,
    readBytes: movedBytes(moved, "Read"),
    writtenBytes: movedBytes(moved, "Write"),
  };
}

async function limitCpu(directory: string, limits: GroupLimits): Promise<void> {
  const quotaUs = (limits.cpuQuotaMillis * US_PER_MILLI).toString();
  const shares = Math.round((limits.cpuWeightMillis * SHARES_PER_CORE) / 1_000);
  const within = Math.min(Math.max(shares, LEAST_SHARES), MOST_SHARES);
  await setLimit(directory, "cpu.shares", within.toString());
  await setLimit(directory, "cpu.cfs_period_us", CPU_PERIOD_US.toString());
  // A burst above the quota is refused, so it makes way first.
  await setIfThere(directory, "cpu.cfs_burst_us", "0");
  await setLimit(directory, "cpu.cfs_quota_us", quotaUs);
  await setIfThere(directory, "cpu.cfs_burst_us", quotaUs);
}

/** With swap never above without: whichever way the limit moves, one of them has to go first. */
async function limitMemory(directory: string, bytes: string): Promise<void> {
  const now = numberIn(readCounter(directory, "memory.limit_in_bytes")) ?? 0;
  if (Number(bytes) > now) await setIfThere(directory, "memory.memsw.limit_in_bytes", bytes);
  await setLimit(directory, "memory.limit_in_bytes", bytes);
  await setIfThere(directory, "memory.memsw.limit_in_bytes", bytes);
}

/** Sum over devices of lines `8:0 Read 4096`. */
function movedBytes(text: string | undefined, direction: "Read" | "Write"): number | undefined {
  if (text === undefined) return undefined;
  const rows = text.split("\n").map((line) => line.split(" "));
  return rows.reduce((sum, [, what, bytes]) => sum + (what === direction ? Number(bytes) : 0), 0);
}
