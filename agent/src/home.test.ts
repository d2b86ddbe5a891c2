import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { clearHome } from "./home.ts";

const home = mkdtempSync(join(tmpdir(), "aerodb-home-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

test("what is left of tries goes, and nothing else", () => {
  const kept = ["instances", "view", "other.try-abcdef", "limits.try-none-of-ours"];
  for (const name of [...kept, "limits.try-a1B2c3", "view.try-Z9y8X7"]) {
    mkdirSync(join(home, name));
    writeFileSync(join(home, name, "file"), "");
  }
  clearHome(home);
  expect(readdirSync(home).toSorted()).toEqual(kept.toSorted());
});
