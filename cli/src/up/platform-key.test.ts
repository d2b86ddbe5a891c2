import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensurePlatformKey } from "./platform-key.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "aerodb-key-"));
  path = join(directory, "platform-key");
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a key is made once, and shown as new once", () => {
  const made = ensurePlatformKey(path, undefined);
  expect(made).toMatchObject({ isNew: true });
  expect(made.text).toMatch(/^adb_platform_[0-9a-z]{26}_[\w-]{43}$/);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(ensurePlatformKey(path, undefined)).toEqual({ text: made.text, isNew: false });
});

test("a preset key replaces the one in the file", () => {
  ensurePlatformKey(path, undefined);
  expect(ensurePlatformKey(path, "a-preset-key-0123").isNew).toBe(true);
  expect(readFileSync(path, "utf8")).toBe("a-preset-key-0123\n");
  expect(ensurePlatformKey(path, "a-preset-key-0123").isNew).toBe(false);
});
