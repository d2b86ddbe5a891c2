import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { identifyProcess, ProcessSight } from "./process-identity.ts";

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function start(script: string): ChildProcess {
  const child = spawn("sh", ["-c", script], { stdio: "ignore" });
  started.push(child);
  return child;
}

function sightOf(pid = 0): ProcessSight {
  const identity = identifyProcess(pid);
  if (identity === undefined) throw new Error(`no process ${pid}`);
  return new ProcessSight(identity);
}

test("a process is seen until it has ended", async () => {
  const child = start("exec sleep 60");
  const sight = sightOf(child.pid);
  expect([sight.isAlive(), sight.isAlive()]).toEqual([true, true]);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect([sight.isAlive(), sight.isAlive()]).toEqual([false, false]);
  sight.close();
});

test("of which only the exit status is left has ended", async () => {
  // Nobody reaps the first, for the second takes the place of its parent.
  const { pid } = start("sleep 1 & exec sleep 60");
  const children = () => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  await expect.poll(children).not.toBe("");
  const child = Number(children());
  const sight = sightOf(child);
  expect(sight.isAlive()).toBe(true);
  await expect.poll(() => sight.isAlive(), { timeout: 10_000 }).toBe(false);
  expect(children()).toBe(child.toString());
  sight.close();
});

test("another process that got its pid is not taken for it", () => {
  const identity = { pid: process.pid, startTicks: "1" };
  const sight = new ProcessSight(identity);
  expect(sight.isAlive()).toBe(false);
  sight.close();
});
