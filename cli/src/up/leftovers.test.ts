import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { endServers } from "./leftovers.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "aerodb-leftovers-"));
  writeFileSync(join(directory, "postgres"), "");
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A process that does nothing, under a name, with arguments that `tail` can follow. */
async function startAs(name: string, ...follows: readonly string[]) {
  const program = join(directory, name);
  symlinkSync("/usr/bin/tail", program);
  const child = spawn(program, ["-f", ...follows], { cwd: directory, stdio: "ignore" });
  await once(child, "spawn");
  return child;
}

test("a sandbox whose server was only being made ends with the servers", async () => {
  const sandbox = await startAs("bwrap", join(directory, "postgres"));
  const ended = once(sandbox, "exit");
  const other = await startAs("unshare", "/dev/null");
  expect(await endServers([directory], 100)).toBe(0);
  expect(await ended).toEqual([null, "SIGKILL"]);
  expect(other.signalCode).toBe(null);
  other.kill("SIGKILL");
  await once(other, "exit");
});
