import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { requireChecksums, requireEngine } from "./before-start.ts";
import { crc32c } from "./crc32c.ts";
import type { Engine } from "./engine.ts";
import { type ThrowawayHome, throwawayHome } from "./throwaway-instance.ts";

let home: ThrowawayHome;
let directory: string;
beforeAll(async () => {
  home = await throwawayHome();
  directory = await mkdtemp(join(tmpdir(), "aerodb-"));
});
afterAll(async () => {
  await home.remove();
  await rm(directory, { recursive: true, force: true });
});

test("data with checksums is served", async () => {
  await expect(requireChecksums(home.template)).resolves.toBeUndefined();
});

/** A control file of a major version as Postgres lays it out, up to where its sum is. */
async function controlFile(layout: number, checksums: number): Promise<string> {
  const sumAt = 288;
  const file = Buffer.alloc(8_192);
  file.fill(7, 16, sumAt);
  file.writeUInt32LE(layout, 8);
  file.writeUInt32LE(checksums, sumAt - (layout < 1_800 ? 36 : 40));
  file.writeUInt32LE(crc32c(file.subarray(0, sumAt)), sumAt);
  const data = join(directory, `${layout}-${checksums}`);
  await mkdir(join(data, "global"), { recursive: true });
  await writeFile(join(data, "global", "pg_control"), file);
  return data;
}

test.each([1_300, 1_800])(
  "data without checksums is refused, in the layout of %i",
  async (layout) => {
    await expect(requireChecksums(await controlFile(layout, 0))).rejects.toThrow(
      /has no checksums, and is not served without: .*pg_checksums --enable/,
    );
    await expect(requireChecksums(await controlFile(layout, 1))).resolves.toBeUndefined();
  },
);

test("a control file that is damaged, or none, is refused with a sentence", async () => {
  const data = await controlFile(1_700, 1);
  const path = join(data, "global", "pg_control");
  const file = await readFile(path);
  file.fill(9, 100, 200);
  await writeFile(path, file);
  await expect(requireChecksums(data)).rejects.toThrow(/damaged: its sum does not .*not served/);
  await writeFile(path, "short");
  await expect(requireChecksums(data)).rejects.toThrow("pg_control is too short. It is not served");
  await rm(path);
  await expect(requireChecksums(data)).rejects.toThrow("pg_control: it is not there. It is not");
  await symlink("/etc/hostname", path);
  await expect(requireChecksums(data)).rejects.toThrow(
    "pg_control: it is a link. It is not served",
  );
});

/** An installed engine that says it is of a version; as a script, so that it can be replaced. */
async function installed(version: string): Promise<Engine> {
  const binDirectory = join(directory, "bin");
  await mkdir(binDirectory, { recursive: true });
  for (const name of ["postgres", "initdb"]) {
    const draft = join(binDirectory, `${name}.new`);
    await writeFile(draft, `#!/bin/sh\necho "postgres (PostgreSQL) ${version}"\n`);
    await chmod(draft, 0o755);
    await rm(join(binDirectory, name), { force: true });
    await copyFile(draft, join(binDirectory, name));
  }
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return { version, major, minor, binDirectory, origin: "configured" };
}

test("the floor is asked for before every start, of the programs as they are then", async () => {
  const engine = await installed("18.4");
  await expect(requireEngine(engine, { production: true })).resolves.toMatchObject({ minor: 4 });
  await installed("18.3");
  await expect(requireEngine(engine, { production: true })).rejects.toThrow(
    "under the version floor",
  );
  await expect(requireEngine(engine, {})).resolves.toMatchObject({ version: "18.3" });
  await installed("18.5");
  await expect(requireEngine(engine, { production: true })).resolves.toMatchObject({ minor: 5 });
  await installed("17.10");
  await expect(requireEngine(engine, {})).rejects.toThrow("now holds 17.10: restart the agent");
  await rm(engine.binDirectory, { recursive: true });
  await expect(requireEngine(engine, {})).rejects.toThrow("holds no server any more");
});
