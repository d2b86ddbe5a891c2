/** Against the machine's own control groups. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { identifyProcess, newId, sleep } from "@aerodb/runtime";
import { afterAll, expect, test } from "vitest";
import { sampleSpec } from "../sample-spec.ts";
import { giveWay } from "./giving-way.ts";
import { groupLimitsOf } from "./group-limits.ts";
import { openControlGroups } from "./open-control-groups.ts";

const groups = await openControlGroups(`/a/test/${newId("ins")}`);
const has = groups?.controllers.includes("cpu") ?? false;
const without = has ? false : "no control groups for the processor can be made here";
const NAME = "ins_a";

afterAll(async () => {
  await groups?.remove(NAME, 2_000);
});

function identityOf(pid: number) {
  return identifyProcess(pid) ?? expect.fail("it is there");
}

async function started(script: string) {
  if (groups === undefined) throw new Error("bug: skipped without groups");
  await groups.make(NAME, groupLimitsOf(sampleSpec()));
  const joins = groups.joinFiles(NAME).map((file) => `echo 0 > '${file}'`);
  const child = spawn("sh", ["-c", [...joins, "echo in", script].join("; ")]);
  await once(child.stdout, "data");
  const pid = child.pid ?? 0;
  const backend = identityOf(pid);
  const givesWay = async () => {
    return (await readFile(`/proc/${pid}/cgroup`, "utf8")).includes("/aerodb-background");
  };
  return { groups, child, pid, backend, givesWay };
}

test.skipIf(without)("who gives way is elsewhere until that ends, and then as before", async () => {
  const { groups, child, pid, backend, givesWay } = await started("exec sleep 60");
  try {
    expect(await givesWay()).toBe(false);
    const before = await readFile(`/proc/${pid}/cgroup`, "utf8");
    const end = await giveWay(groups, NAME, backend);
    expect(await givesWay()).toBe(true);
    await end?.();
    expect(await readFile(`/proc/${pid}/cgroup`, "utf8")).toBe(before);
    await end?.();
    expect(await giveWay(groups, NAME, identityOf(process.pid))).toBeUndefined();
  } finally {
    child.kill("SIGKILL");
  }
});

test.skipIf(without)("who gets no processor time at all gives way no longer", async () => {
  const { groups, child, backend, givesWay } = await started("while :; do :; done");
  const busy = Array.from({ length: availableParallelism() * 2 }, () => {
    return spawn("sh", ["-c", "while :; do :; done"]);
  });
  try {
    await sleep(100);
    await giveWay(groups, NAME, backend);
    expect(await givesWay()).toBe(true);
    await expect.poll(givesWay).toBe(false);
  } finally {
    for (const each of [child, ...busy]) each.kill("SIGKILL");
  }
});

test.skipIf(without)("one that ends meanwhile breaks nothing", async () => {
  const { groups, child, backend } = await started("exec sleep 60");
  const end = await giveWay(groups, NAME, backend);
  child.kill("SIGKILL");
  await once(child, "exit");
  await expect(end?.()).resolves.toBeUndefined();
});
