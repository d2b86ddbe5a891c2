import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ArchiveEntry, archiveOf } from "./archive.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "archive-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function archive(entries: readonly ArchiveEntry[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of archiveOf(entries)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function fileOf(name: string, contents: string): Promise<ArchiveEntry> {
  const source = join(directory, "source");
  await writeFile(source, contents);
  return { kind: "file", name, source, bytes: contents.length, executable: true };
}

test("tar unpacks what was archived, long names and links included", async () => {
  const long = `${"deep/".repeat(24)}end`;
  const entries: ArchiveEntry[] = [
    { kind: "directory", name: "bin" },
    await fileOf(long, "x".repeat(1_000)),
    { kind: "link", name: "bin/link", target: "../elsewhere" },
  ];
  const out = join(directory, "out");
  mkdirSync(out);
  execFileSync("tar", ["-x", "-C", out], { input: await archive(entries) });
  expect(readFileSync(join(out, long), "utf8")).toBe("x".repeat(1_000));
  expect(statSync(join(out, long)).mode & 0o777).toBe(0o755);
  expect(readlinkSync(join(out, "bin/link"))).toBe("../elsewhere");
});

test("equal contents are equal archives", async () => {
  const first = await archive([await fileOf("a", "same")]);
  expect(await archive([await fileOf("a", "same")])).toEqual(first);
});

test("a name that no tar can hold is refused", async () => {
  const entries = [await fileOf("x".repeat(101), "")];
  await expect(archive(entries)).rejects.toThrow("too long for a tar");
});
