import { execFileSync, spawnSync } from "node:child_process";
import { createWriteStream, existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { canChangeOwner, findEngine, findEngines, materializeEngine } from "@aerodb/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { archiveOf } from "./archive.ts";
import { type EngineFiles, engineFilesOf } from "./engine-files.ts";

let directory: string;
let files: EngineFiles;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "engine-files-"));
  files = await filesFrom("engines");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function filesFrom(name: string): Promise<EngineFiles> {
  const engine = await materializeEngine(await findEngine(), join(directory, name));
  return engineFilesOf(engine);
}

/** What a program of an image says, run where there is nothing but what is in the image. */
async function saidInside({ entries, binDirectory }: EngineFiles): Promise<string> {
  const root = await mkdtemp(join(directory, "root-"));
  const archive = join(directory, "archive.tar");
  await pipeline(Readable.from(archiveOf(entries)), createWriteStream(archive));
  execFileSync("tar", ["-x", "-f", archive, "-C", root]);
  const program = join(binDirectory, "postgres");
  // Without /proc the loader does not find what is named relative to the program.
  const libraries = { LD_LIBRARY_PATH: join(binDirectory, "../lib") };
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...libraries };
  const { stdout, stderr } = spawnSync("chroot", [root, program, "--version"], { env });
  return `${stdout}${stderr}`;
}

test.skipIf(!canChangeOwner())(
  "an engine runs where there is nothing but its files (needs root)",
  async () => {
    expect(await saidInside(files)).toMatch(/^postgres \(PostgreSQL\) 18\.\d+\n$/);
  },
);

const installed = installedEngine();

/** An engine of a distribution, whose files are all over the machine. */
function installedEngine(): string | undefined {
  const root = "/usr/lib/postgresql";
  const [major] = existsSync(root) ? readdirSync(root) : [];
  const bin = join(root, major ?? "", "bin");
  return existsSync(join(bin, "postgres")) ? bin : undefined;
}

test.skipIf(!canChangeOwner() || installed === undefined)(
  "an engine of a distribution runs so too (needs root and Debian's postgresql)",
  async () => {
    const [engine] = await findEngines({ binDirectories: [installed ?? ""] });
    if (engine === undefined) throw new Error(`${installed} holds no engine`);
    expect(await saidInside(await engineFilesOf(engine))).toContain(engine.version);
  },
);

test("where the engine lies on this machine makes no difference to what is in an image", async () => {
  const elsewhere = await filesFrom("a-directory-with-another-name");
  const contents = ({ entries }: EngineFiles) =>
    entries.map((entry) => ({ ...entry, source: entry.kind === "file" ? entry.bytes : "" }));
  expect(contents(elsewhere)).toEqual(contents(files));
  expect(elsewhere.binDirectory).toBe(files.binDirectory);
});

test("names are relative, each comes once, and no folder after what is in it", () => {
  const names = files.entries.map(({ name }) => name);
  expect(names.filter((name) => name.startsWith("/") || name.includes(".."))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
  const seen = new Set<string>();
  for (const name of names) {
    const parent = name.split("/").slice(0, -1).join("/");
    expect(parent === "" || seen.has(parent), `${parent} before ${name}`).toBe(true);
    seen.add(name);
  }
});
