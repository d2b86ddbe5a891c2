import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./tidy/source-file.ts";

test("the last line of a run counts what passed, what failed or did not load, what was skipped", () => {
  const closing = lastLineOf({
    "some.test.js": [
      'import { expect, test } from "vitest";',
      'test("passes", () => {});',
      'test("fails", () => expect(1).toBe(2));',
      'test.skipIf(true)("skips", () => {});',
    ],
    "broken.test.js": ['import "./nowhere.js";'],
  });

  expect(closing).toBe("1 passed, 2 failed, 1 skipped");
});

test("the last line says nothing of skipped tests when there were none", () => {
  const closing = lastLineOf({
    "some.test.js": ['import { test } from "vitest";', 'test("passes", () => {});'],
  });

  expect(closing).toBe("1 passed, 0 failed");
});

/** Runs Vitest with the reporter over some files of their own. */
function lastLineOf(files: Readonly<Record<string, readonly string[]>>): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "closing-line-"));
  try {
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    for (const [name, lines] of Object.entries(files)) {
      writeFileSync(join(folder, name), lines.join("\n"));
    }
    const reporter = join(ROOT, "tools/src/closing-line-reporter.ts");
    const { stdout } = spawnSync(
      process.execPath,
      [
        join(ROOT, "node_modules/vitest/vitest.mjs"),
        "run",
        "--reporter=default",
        `--reporter=${reporter}`,
      ],
      { cwd: folder, encoding: "utf8", timeout: 30_000 },
    );
    return stdout.trimEnd().split("\n").at(-1);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
