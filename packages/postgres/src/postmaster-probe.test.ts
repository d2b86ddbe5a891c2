import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { socketPath } from "./names.ts";
import { isAbandoned } from "./postmaster-probe.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "probe-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a socket is abandoned once whoever listened on it was killed, and not before", async () => {
  expect(await isAbandoned(directory)).toBe(false);
  const listening = `require("node:net").createServer().listen(process.argv[1], () => {
    process.stdout.write("listens");
  })`;
  const words = ["--eval", listening, socketPath(directory)];
  const listener = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
  await once(listener.stdout, "data");
  expect(await isAbandoned(directory)).toBe(false);
  listener.kill("SIGSTOP");
  expect(await isAbandoned(directory)).toBe(false);
  listener.kill("SIGKILL");
  await once(listener, "exit");
  expect(await isAbandoned(directory)).toBe(true);
});
