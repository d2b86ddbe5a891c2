import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
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

test("a home that became read-only is refused with one sentence", ({ skip }) => {
  const home = mkdtempSync(join(tmpdir(), "make-home-"));
  onTestFinished(() => rmSync(home, { recursive: true }));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "none", home], { stdio: "ignore" });
  } catch {
    skip("nothing can be mounted here");
  }
  onTestFinished(() => void execFileSync("umount", [home]));
  expect(() => makeHome(home)).toThrow(`${home} cannot be written (EROFS): choose another home`);
  expect(() => makeHome(join(home, "a"))).toThrow(/a cannot be made \(\w+\): choose another home/);
});
