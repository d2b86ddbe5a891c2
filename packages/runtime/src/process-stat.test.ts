import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { isOver, parseProcessStat, readProcessStat, stateOf } from "./process-stat.ts";

const REST = `12 7 7 0 -1 4194304 100 0 0 0 3 4 5 6 20 0 1 0 8765 1000 ${"0 ".repeat(30)}\n`;

test.each(["postgres", "a b", "x) R 1 (y", ")", ""])("a program may be called %j", (name) => {
  expect(parseProcessStat(`42 (${name}) S ${REST}`)).toEqual({
    ...{ program: name, state: "S", parentPid: 12, startTicks: "8765", ticks: 7, childTicks: 11 },
  });
});

test("what has ended is told from what runs, and a line that is cut off from both", () => {
  const states = ["R", "S", "T", "Z", "X"].map((state) => stateOf(`42 (x) ${state} ${REST}`));
  expect(states.map(isOver)).toEqual([false, false, false, true, true]);
  expect(isOver(stateOf(""))).toBe(true);
  expect(parseProcessStat("42 (x) S 1 2")).toBeUndefined();
});

test("a process is read by its pid, until nobody has it", async () => {
  const child = spawn("sleep", ["60"]);
  const { pid = 0 } = child;
  await once(child, "spawn");
  expect(readProcessStat(pid)).toMatchObject({ program: "sleep", parentPid: process.pid });
  expect(readProcessStat(String(process.pid))?.ticks).toBeGreaterThan(0);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(readProcessStat(pid)).toBeUndefined();
});
