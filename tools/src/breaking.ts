/**
 * `buf breaking` against the contracts in main. They are taken out of git into a temporary folder,
 * so that it works in a shallow clone and in a worktree. Where there is no main, HEAD stands in for
 * it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT } from "./tidy/source-file.ts";

const CONTRACTS = ["proto", "third_party", "buf.yaml"];

function main(): void {
  const against = ["main", "origin/main", "HEAD"].find(
    (ref) => git("rev-parse", "-q", "--verify", ref) !== undefined,
  );
  if (against === undefined) {
    skip("there is no git history to compare with");
    return;
  }
  const list = git("ls-tree", "-r", "-z", "--name-only", against, ...CONTRACTS) ?? "";
  const paths = list.split("\0").filter((path) => path !== "");
  if (!paths.includes("buf.yaml")) {
    skip(`${against} holds no contracts yet`);
    return;
  }
  compare(against, paths);
}

function compare(against: string, paths: readonly string[]): void {
  const folder = mkdtempSync(join(tmpdir(), "contracts-"));
  try {
    for (const path of paths) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), git("show", `${against}:${path}`) ?? "");
    }
    const { status } = spawnSync("buf", ["breaking", "--against", folder], {
      cwd: ROOT,
      stdio: "inherit",
    });
    if (status !== 0) console.error(`This breaks callers of the API as it is in ${against}.`);
    process.exitCode = status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function skip(reason: string): void {
  console.log(`Skipped: buf breaking, because ${reason}.`);
}

/** What git prints, or undefined when it refuses. */
function git(...args: readonly string[]): string | undefined {
  try {
    return execFileSync("git", args, {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    return undefined;
  }
}

main();
