import { chmod, mkdir, mkdtemp, readdir, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine } from "@aerodb/postgres";
import { afterEach, beforeEach, expect, test } from "vitest";
import { markOf, recordedTag, recordTag } from "./image-record.ts";

let directory: string;
let records: string;
let program: string;
let engine: Engine;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "image-record-"));
  records = join(directory, "records");
  const binDirectory = join(directory, "bin");
  program = join(binDirectory, "postgres");
  engine = { major: 18, minor: 1, version: "18.1", binDirectory, origin: "configured" };
  await mkdir(binDirectory);
  await writeFile(program, "first", { mode: 0o644 });
  const sources = [program];
  await recordTag(records, engine, { tag: "18.1-abc", sources, mark: await markOf(sources) });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("an image is known as long as nothing that it was made of changes", async () => {
  expect(await recordedTag(records, engine)).toBe("18.1-abc");
  const other = { ...engine, binDirectory: join(directory, "other") };
  expect(await recordedTag(records, other)).toBeUndefined();
});

test.each([
  ["is longer", () => writeFile(program, "second one")],
  ["may be run", () => chmod(program, 0o755)],
  ["is gone", () => rm(program)],
  ["has a neighbour", () => writeFile(join(directory, "bin", "initdb"), "new")],
  [
    "was replaced by one of the same length",
    async () => {
      await writeFile(`${program}.new`, "other");
      await rename(`${program}.new`, program);
    },
  ],
])("it is not when a file %s", async (_how, change) => {
  await change();
  expect(await recordedTag(records, engine)).toBeUndefined();
});

test("half a record is none", async () => {
  const [name = ""] = await readdir(records);
  await truncate(join(records, name), 20);
  expect(await recordedTag(records, engine)).toBeUndefined();
});
