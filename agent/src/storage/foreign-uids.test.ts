import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { foreignUids } from "./foreign-uids.ts";
import { UidRange } from "./uid-range.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "uids-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function passwd(...uids: readonly number[]): Promise<string> {
  const path = join(directory, "passwd");
  await writeFile(path, uids.map((uid) => `u${uid}:x:${uid}:${uid}::/:/bin/sh\n`).join(""));
  return path;
}

test("users with a name on this machine and users of processes are somebody else's", async () => {
  const own = process.geteuid?.() ?? 0;
  const file = await passwd(7_001, 7_003, 9_000);
  expect(await foreignUids({ base: 7_000, count: 10 }, file)).toEqual(new Set([7_001, 7_003]));
  expect(await foreignUids({ base: own, count: 1 }, file)).toEqual(new Set([own]));
  expect(await foreignUids({ base: 7_000, count: 10 }, "/nonexistent")).toEqual(new Set());
});

test.skipIf(process.geteuid?.() === 0 ? false : "only root gives instances users")(
  "no instance is given a user of somebody else, and one that has it keeps it",
  () => {
    const range = new UidRange({ base: 7_000, count: 4 });
    const old = newId("ins");
    range.note(old, 7_001);
    range.avoid(new Set([7_000, 7_001, 7_002]));
    expect(range.reserve(old)?.uid).toBe(7_001);
    expect(range.reserve(newId("ins"))?.uid).toBe(7_003);
    expect(() => range.reserve(newId("ins"))).toThrow(/All users from 7000 to 7003/);
  },
);
