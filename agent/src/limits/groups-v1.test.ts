/** Against the machine's own control groups. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "@aerodb/runtime";
import { afterAll, expect, test } from "vitest";
import { sampleSpec } from "../sample-spec.ts";
import { removeGroup } from "./group-files.ts";
import { groupLimitsOf } from "./group-limits.ts";
import { openControlGroups } from "./open-control-groups.ts";

const groups = await openControlGroups(`/a/test/${newId("ins")}`);
const without = groups?.version === 1 ? false : "no control groups of version 1 can be made here";
const limits = { ...groupLimitsOf(sampleSpec()), cpuQuotaMillis: 50 };
const NAME = "ins_a";

afterAll(async () => {
  await groups?.remove(NAME, 2_000);
});

function inGroup(script: string) {
  const joins = (groups?.joinFiles(NAME) ?? []).map((file) => `echo 0 > '${file}'`).join("; ");
  return spawn("sh", ["-c", `${joins}; ${script}`], { stdio: ["ignore", "pipe", "pipe"] });
}

test.skipIf(without)("limits hold what joins, and counters say what it used", async () => {
  await groups?.make(NAME, limits);
  const busy = inGroup("while :; do :; done");
  try {
    const used = () => groups?.usage(NAME);
    await expect.poll(() => used()?.throttledPeriods, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(used()?.cpuSeconds).toBeGreaterThan(0.01);
    expect(used()?.processes).toBe(1);
    expect(used()?.memoryBytes).toBeLessThan(limits.memoryBytes);
    expect(await groups?.holding(NAME, busy.pid ?? 0)).toEqual(["cpu", "memory", "pids", "io"]);
    expect(await groups?.holding(NAME, process.pid)).toEqual([]);
    expect(await groups?.remove(NAME, 0)).toBe(false);
  } finally {
    busy.kill("SIGKILL");
    await once(busy, "exit");
  }
  expect(await groups?.remove(NAME, 2_000)).toBe(true);
  expect(await groups?.names()).toEqual([]);
});

test.skipIf(without)("limits move while processes run, both ways", async () => {
  await groups?.make(NAME, limits);
  const sleeper = inGroup("sleep 60");
  try {
    const [file = ""] = (groups?.joinFiles(NAME) ?? []).filter((path) => /\/memory\//.test(path));
    const held = async () => Number(await readFile(join(dirname(file), "memory.limit_in_bytes")));
    for (const memoryMiB of [512, 64, 256]) {
      const next = groupLimitsOf(sampleSpec({ memoryMiB }));
      await groups?.make(NAME, next);
      expect(await held()).toBe(next.memoryBytes);
    }
  } finally {
    sleeper.kill("SIGKILL");
    await once(sleeper, "exit");
  }
});

test.skipIf(without)("a group takes no more processes than it may have", async () => {
  await groups?.make(NAME, { ...limits, processes: 3 });
  const child = inGroup("for i in 1 2 3 4 5; do sleep 5 & done; wait");
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  await once(child, "exit");
  expect(said).toMatch(/fork|Resource/i);
  const [file = ""] = groups?.joinFiles(NAME) ?? [];
  for (const pid of (await readFile(file, "utf8")).split("\n").filter((each) => each !== "")) {
    process.kill(Number(pid), "SIGKILL");
  }
});

test.skipIf(without)("who is in a group is ended, and starts nobody meanwhile", async () => {
  await groups?.make(NAME, { ...limits, processes: 2_000, cpuQuotaMillis: 1_000 });
  const ended = once(inGroup("while :; do sleep 30 & done"), "exit");
  await expect.poll(() => groups?.usage(NAME).processes, { timeout: 10_000 }).toBeGreaterThan(20);
  expect(await groups?.end(NAME, 10_000)).toBe(true);
  await ended;
  expect(await groups?.remove(NAME, 2_000)).toBe(true);
});

test.skipIf(without)("a group that was made anew counts from nothing", async () => {
  await groups?.make(NAME, limits);
  const busy = inGroup("while :; do :; done");
  const used = () => groups?.usage(NAME).cpuSeconds ?? 0;
  await expect.poll(used, { timeout: 10_000 }).toBeGreaterThan(0.01);
  busy.kill("SIGKILL");
  await once(busy, "exit");
  // By somebody else, who does not say so.
  for (const file of groups?.joinFiles(NAME) ?? []) await removeGroup(dirname(file), 2_000);
  expect(groups?.usage(NAME).cpuSeconds).toBeUndefined();
  await groups?.make(NAME, limits);
  expect(groups?.usage(NAME)).toMatchObject({ cpuSeconds: 0, processes: 0 });
  await groups?.remove(NAME, 2_000);
});

test.skipIf(without)("groups are made though their home's goes at that moment", async () => {
  const names = ["ins_b", "ins_c", "ins_d", "ins_e"];
  const makeAndRemove = async (name: string) => {
    for (let round = 0; round < 250; round += 1) {
      await groups?.make(name, limits);
      // Whichever is removed last takes along their home's.
      expect(await groups?.remove(name, 2_000)).toBe(true);
    }
  };
  await Promise.all(names.map(makeAndRemove));
  expect(await groups?.names()).toEqual([]);
});
