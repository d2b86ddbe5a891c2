/**
 * Against directories that play the kernel's tree: that the right numbers go to the right files.
 * What the kernel makes of them is not shown here.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sampleSpec } from "../sample-spec.ts";
import type { ControlGroups } from "./control-groups.ts";
import { ownPart } from "./group-files.ts";
import { groupLimitsOf } from "./group-limits.ts";
import { openControlGroups } from "./open-control-groups.ts";

const HOME = "/srv/agent";
const limits = groupLimitsOf(
  sampleSpec({ cpuMillis: 1_000, memoryMiB: 1_024, maxConnections: 52 }),
);
let tree: string;

beforeAll(async () => {
  tree = await mkdtemp(join(tmpdir(), "groups-v2-"));
});
afterAll(() => rm(tree, { recursive: true, force: true }));

/** A tree in which this process is alone in the group of a unit that was delegated to it. */
async function delegated(name: string, inside = [process.pid]): Promise<string> {
  const top = join(tree, name);
  const unit = join(top, "system.slice", "aerodb.service");
  await mkdir(unit, { recursive: true });
  await writeFile(join(unit, "cgroup.controllers"), "cpuset cpu io memory pids\n");
  await writeFile(join(unit, "cgroup.subtree_control"), "");
  await writeFile(join(unit, "cgroup.procs"), `${inside.join("\n")}\n`);
  await writeFile(
    join(tree, `${name}.mounts`),
    `30 1 0:26 / ${top} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n`,
  );
  await writeFile(join(tree, `${name}.own`), "0::/system.slice/aerodb.service\n");
  return unit;
}

async function opened(name: string): Promise<ControlGroups> {
  const roots = { mounts: join(tree, `${name}.mounts`), ownGroups: join(tree, `${name}.own`) };
  const groups = await openControlGroups(HOME, roots);
  if (groups === undefined) throw new Error("bug: no control groups in the tree of the test");
  return groups;
}

test("limits, weight and room for a burst are written to the group of an instance", async () => {
  const unit = await delegated("limits");
  const groups = await opened("limits");
  expect(groups).toMatchObject({ version: 2, controllers: ["cpu", "memory", "pids", "io"] });
  await groups.make("ins_a", limits);

  const group = join(unit, ownPart(HOME), "ins_a");
  const written = async (file: string) => readFile(join(group, file), "utf8");
  expect(await written("cpu.max")).toBe("200000 100000");
  expect(await written("cpu.max.burst")).toBe("200000");
  expect(await written("cpu.weight")).toBe("100");
  expect(await written("memory.max")).toBe((1_280 * 2 ** 20).toString());
  expect(Number(await written("memory.high"))).toBeLessThan(1_280 * 2 ** 20);
  expect(await written("memory.swap.max")).toBe("0");
  expect(await written("pids.max")).toBe("100");
  expect(groups.joinFiles("ins_a")).toEqual([join(group, "cgroup.procs")]);
  expect(await groups.names()).toEqual(["ins_a"]);
});

test("counters are read, and what is not there is unknown", async () => {
  const unit = await delegated("counters");
  const groups = await opened("counters");
  await groups.make("ins_a", limits);
  const group = join(unit, ownPart(HOME), "ins_a");
  const files = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_throttled 7\nthrottled_usec 1500000\n",
    "memory.current": "50000000\n",
    "memory.stat": "anon 1\ninactive_file 20000000\n",
    "memory.events": "low 0\nmax 3\noom 1\noom_kill 1\n",
    "pids.current": "6\n",
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(group, name), text);
  expect(groups.usage("ins_a")).toEqual({
    cpuSeconds: 2.5,
    throttledPeriods: 7,
    throttledSeconds: 1.5,
    memoryBytes: 30_000_000,
    oomKills: 1,
    processes: 6,
    readBytes: undefined,
    writtenBytes: undefined,
  });
  await writeFile(
    join(group, "io.stat"),
    "8:0 rbytes=100 wbytes=7 rios=1\n8:16 rbytes=1 wbytes=2\n",
  );
  expect(groups.usage("ins_a")).toMatchObject({ readBytes: 101, writtenBytes: 9 });
});

test("of a group that hardly ran since, only what tells so is read", async () => {
  const unit = await delegated("still");
  const groups = await opened("still");
  await groups.make("ins_a", limits);
  const group = join(unit, ownPart(HOME), "ins_a");
  async function ran(microseconds: number, processes: number, memoryBytes: number): Promise<void> {
    await writeFile(join(group, "cpu.stat"), `usage_usec ${microseconds}\n`);
    await writeFile(join(group, "pids.current"), `${processes}\n`);
    await writeFile(join(group, "memory.current"), `${memoryBytes}\n`);
  }
  await ran(1_000_000, 5, 50_000_000);
  const known = groups.usage("ins_a");
  await ran(1_001_000, 6, 60_000_000);
  const still = groups.usage("ins_a", known);
  expect(still).toMatchObject({ cpuSeconds: 1.001, processes: 6, memoryBytes: 50_000_000 });
  await ran(1_100_000, 6, 60_000_000);
  expect(groups.usage("ins_a", still)).toMatchObject({ cpuSeconds: 1.1, memoryBytes: 60_000_000 });
});

test("less memory than is used is refused, where the kernel would end processes", async () => {
  const unit = await delegated("shrink");
  const groups = await opened("shrink");
  await groups.make("ins_a", limits);
  const group = join(unit, ownPart(HOME), "ins_a");
  await writeFile(join(group, "memory.current"), (900 * 2 ** 20).toString());
  const smaller = { ...limits, memoryBytes: 300 * 2 ** 20 };
  await expect(groups.make("ins_a", smaller)).rejects.toThrow(/uses more than 314572800 bytes/);
  expect(await readFile(join(group, "memory.max"), "utf8")).toBe(limits.memoryBytes.toString());
});

test("a tree whose files do not exist at all has no control groups", async () => {
  const nothing = join(tree, "nothing");
  await writeFile(nothing, "");
  const groups = await openControlGroups(HOME, { mounts: nothing, ownGroups: nothing });
  expect(groups).toBeUndefined();
});

test("nothing but what can be handed on counts as a controller", async () => {
  const unit = await delegated("few");
  await writeFile(join(unit, "cgroup.controllers"), "memory pids\n");
  expect((await opened("few")).controllers).toEqual(["memory", "pids"]);
});
