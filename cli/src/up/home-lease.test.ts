import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findRunningUp, takeHome } from "./home-lease.ts";

const about = { ports: { rest: 1, grpc: 2, pg: 3, link: 4 }, agents: 1 };

let home: string;
let other: ChildProcess | undefined;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "aerodb-lease-"));
});
afterEach(() => {
  other?.kill("SIGKILL");
  rmSync(home, { recursive: true });
});

/** A process that takes the home and keeps it until it is killed. */
async function takeInOtherProcess(): Promise<ChildProcess> {
  const script = `
    import { takeHome } from ${JSON.stringify(new URL("./home-lease.ts", import.meta.url).href)};
    globalThis.kept = takeHome(${JSON.stringify(home)}, ${JSON.stringify(about)});
    process.send("taken");
    process.on("message", () => undefined);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await once(child, "message");
  return child;
}

test("two do not work on one home, and the second is told who does", async () => {
  other = await takeInOtherProcess();
  expect(findRunningUp(home)).toMatchObject({ pid: other.pid, ...about });
  expect(() => takeHome(home, about)).toThrow(
    `Another "aerodb up" (process ${other.pid}) works on ${home}`,
  );
});

test("the home of one that was killed is free at once", async () => {
  const child = await takeInOtherProcess();
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  expect(findRunningUp(home)).toBeUndefined();
  const lease = takeHome(home, about);
  expect(findRunningUp(home)?.pid).toBe(process.pid);
  lease.release();
});

test("a home that was released can be taken again", () => {
  takeHome(home, about).release();
  expect(findRunningUp(home)).toBeUndefined();
  takeHome(home, about).release();
});
