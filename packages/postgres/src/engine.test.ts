import {
  appendFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rm,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Engine,
  findEngine,
  findEngines,
  floorOf,
  parseVersion,
  requireFloor,
} from "./engine.ts";
import { materializeEngine } from "./materialized-engine.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aerodb-engine-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

test("versions are read as distributions print them", () => {
  expect(parseVersion("postgres (PostgreSQL) 18.4")).toMatchObject({ major: 18, minor: 4 });
  expect(parseVersion("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)")?.version).toBe(
    "15.18",
  );
  expect(parseVersion("postgres (PostgreSQL) 19beta1")).toBeUndefined();
});

test("an engine under its floor, or of a major without one, is refused and says what to install", () => {
  const engine = { binDirectory: "/opt/bin", origin: "configured" } as const;
  const of = (major: number, minor: number): Engine => {
    return { ...engine, version: `${major}.${minor}`, major, minor };
  };
  expect(() => requireFloor(of(18, 4))).not.toThrow();
  expect(() => requireFloor(of(18, 3))).toThrow("install at least one of 18.4");
  expect(() => requireFloor(of(14, 99))).toThrow("under the version floor");
});

test("engines are told by where they come from, and a broken one of the system is left out", async () => {
  const named = await fakeEngine("named", "18.3");
  const system = join(home, "system");
  await fakeEngine("system/17", "17.10");
  await writeFile(join(system, "17", "README"), "");
  await fakeEngine("system/16", "exit 1");
  await mkdir(join(system, "9.6", "bin"), { recursive: true });
  const search = { binDirectories: [named], systemDirectory: system };
  const found = await findEngines(search);
  expect(found.map(({ origin, version }) => `${origin} ${version}`)).toEqual([
    "configured 18.3",
    expect.stringMatching(/^embedded 18\./),
    "system 17.10",
  ]);
  expect(found.map(floorOf)).toEqual(["18.4", "18.4", "17.10"]);
  expect(await findEngine({ ...search, major: 17 })).toMatchObject({ origin: "system" });
  const broken = await fakeEngine("broken", "exit 1");
  await expect(findEngines({ binDirectories: [broken] })).rejects.toThrow("Could not run");
});

/** Programs that say they are a version of Postgres, or fail. */
async function fakeEngine(name: string, version: string): Promise<string> {
  const directory = join(home, name, "bin");
  await mkdir(directory, { recursive: true });
  const says = version.startsWith("exit") ? version : `echo "postgres (PostgreSQL) ${version}"`;
  for (const program of ["postgres", "initdb"]) {
    await writeFile(join(directory, program), `#!/bin/sh\n${says}\n`, { mode: 0o755 });
  }
  return directory;
}

test("an engine that is not there is a fault that names those that are", async () => {
  const nowhere = { binDirectories: ["/nowhere"], systemDirectory: "/nowhere" };
  const search = findEngine({ ...nowhere, major: 9 });
  await expect(search).rejects.toThrow(/no engine of Postgres 9 \(found: 18\./);
});

test("two that materialize at once get one engine, which everybody can run", async () => {
  const engine = await findEngine();
  const [first, second] = await Promise.all([
    materializeEngine(engine, join(home, "engines")),
    materializeEngine(engine, join(home, "engines")),
  ]);
  expect(second).toEqual(first);
  expect(await readdir(join(home, "engines"))).toHaveLength(1);

  const top = join(first.binDirectory, "..");
  const modeOf = async (path: string) => (await lstat(join(top, path))).mode & 0o777;
  expect(await modeOf("bin/postgres")).toBe(0o755);
  expect(await modeOf("share/postgresql/postgres.bki")).toBe(0o644);
  expect(await modeOf("share")).toBe(0o755);
  expect(await readlink(join(top, "lib", "libpq.so.5"))).toBe(`libpq.so.5.${engine.major}`);
});

test("a materialized engine that was changed is refused", async () => {
  const engine = await materializeEngine(await findEngine(), join(home, "engines"));
  await appendFile(join(engine.binDirectory, "initdb"), "\n");
  const again = materializeEngine(await findEngine(), join(home, "engines"));
  await expect(again).rejects.toThrow("bin/initdb");
});
