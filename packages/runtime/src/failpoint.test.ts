import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { armFailpoints, failpoint } from "./failpoint.ts";

afterEach(() => armFailpoints(""));

test("a step is broken the nth time, and then no more", async () => {
  armFailpoints("made=throw@2");
  await failpoint("made");
  await expect(failpoint("made")).rejects.toThrow("failpoint made");
  await failpoint("made");
});

test("a file breaks one step, of a process that runs already, and goes with it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "aerodb-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "orders");
  armFailpoints(`@${file}`);
  await failpoint("made");
  writeFileSync(file, "made=throw");
  await failpoint("made_ready");
  expect(existsSync(file)).toBe(true);
  await expect(failpoint("made")).rejects.toThrow("failpoint made");
  expect(existsSync(file)).toBe(false);
  await failpoint("made");
});
