import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeHome } from "./make-home.ts";

test("a home is made with what leads to it, and made again without effect", () => {
  const directory = mkdtempSync(join(tmpdir(), "make-home-"));
  const home = join(directory, "a", "b");
  makeHome(home);
  makeHome(home);
  expect(existsSync(home)).toBe(true);
  rmSync(directory, { recursive: true });
});

test("where nothing can be made, one sentence says so", () => {
  expect(() => makeHome("/proc/nowhere/home")).toThrow("choose another home");
});
