/** What is true of the process driver besides the contract of drivers, which test/contract runs. */
import { existsSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { connectPlatform } from "@aerodb/postgres";
import { identifyProcess, newSecret, silent } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SandboxKind } from "../../limits/launch-words.ts";
import { sampleSpec } from "../../sample-spec.ts";
import { EngineShelf } from "../../storage/engine-shelf.ts";
import { layoutOf, placeOf } from "../../storage/layout.ts";
import { ProcessDriver } from "./process-driver.ts";

const signal = AbortSignal.timeout(60_000);
const rootPassword = newSecret();
let home: string;
let shelf: EngineShelf;

function newDriver(sandbox?: SandboxKind): ProcessDriver {
  const uids = { base: 65_000_000, count: 100 };
  return new ProcessDriver({ home, shelf, uids, logger: silent, sandbox });
}

function place(id: InstanceId) {
  return placeOf(layoutOf(home), id);
}

async function ask(socketDirectory: string, statement: string): Promise<unknown> {
  const client = await connectPlatform({ socketDirectory, password: rootPassword });
  try {
    const { rows } = await client.query({ text: statement, rowMode: "array" });
    return rows;
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "agent-driver-"));
  await chmod(home, 0o711);
  shelf = new EngineShelf({ directory: join(home, "engines"), search: {}, rootPassword });
  await newDriver().recover();
  await shelf.ready(18);
});

afterAll(async () => {
  const driver = newDriver();
  for (const { id } of await driver.list()) await driver.stop(id, "immediate");
  await rm(home, { recursive: true, force: true, maxRetries: 10 });
});

test("the next instance begins with a clone made ahead, and is nobody else's twin", async () => {
  // A home of its own: drivers of the other tests may still be about to make theirs.
  const own = await mkdtemp(join(tmpdir(), "agent-spares-"));
  await chmod(own, 0o711);
  const uids = { base: 64_000_000, count: 100 };
  const driver = new ProcessDriver({ home: own, shelf, uids, logger: silent });
  await driver.recover();
  const [first, second] = [sampleSpec(), sampleSpec()];
  await driver.make(first);
  const one = await driver.start(first, signal);
  await expect.poll(() => spares(own), { timeout: 10_000 }).toHaveLength(1);
  const [spare = ""] = await spares(own);
  const { ino } = await stat(join(own, "spares", spare, "data"));

  await driver.make(second);
  const dataOf = ({ id }: ReturnType<typeof sampleSpec>) => placeOf(layoutOf(own), id).data;
  expect((await stat(dataOf(second))).ino).toBe(ino);
  const other = await driver.start(second, signal);
  expect(other.systemIdentifier).not.toBe(one.systemIdentifier);
  expect(await ask(other.socketDirectory, "select 1")).toEqual([[1]]);
  if (process.geteuid?.() === 0) {
    expect(statSync(dataOf(first)).uid).not.toBe(statSync(dataOf(second)).uid);
  }
  for (const { id } of [first, second]) await driver.stop(id, "immediate");
  await rm(own, { recursive: true, force: true, maxRetries: 10 });
});

test("a clone that an earlier agent made ahead is not trusted", async () => {
  await mkdir(join(home, "spares", "of-somebody"), { recursive: true });
  await newDriver().recover();
  expect(await readdir(join(home, "spares"))).not.toContain("of-somebody");
});

test("an instance that no agent saw reach the disk is made anew", async () => {
  const driver = newDriver();
  const spec = sampleSpec();
  await driver.make(spec);
  await newDriver().recover();
  expect(existsSync(place(spec.id).directory)).toBe(false);
});

test("a server that put links in the place of its files is taken over, and ended", async () => {
  const spec = sampleSpec();
  await newDriver().make(spec);
  const { pid, systemIdentifier } = await newDriver().start(spec, signal);
  for (const name of ["postmaster.pid", "global/pg_control"]) {
    await rm(join(place(spec.id).data, name));
    await symlink("/dev/zero", join(place(spec.id).data, name));
  }
  const found = (await newDriver().list()).find(({ id }) => id === spec.id);
  expect(found?.running).toMatchObject({ pid, systemIdentifier });
  await newDriver().stop(spec.id, "immediate");
  await newDriver().destroy(spec.id);
  expect(identifyProcess(pid)).toBeUndefined();
  expect(existsSync(place(spec.id).directory)).toBe(false);
});

test.for([
  ["with the best sandbox there is", undefined],
  ["without a sandbox", "none"],
] as const)("a server that hides does not outlive its instance: %s", async ([_, sandbox], ctx) => {
  const spec = sampleSpec();
  const driver = newDriver(sandbox);
  await driver.make(spec);
  const { pid, walls } = await driver.start(spec, signal);
  const file = join(place(spec.id).data, "postmaster.pid");
  // Without either its file is all that names it.
  const isHeld = walls.some((wall) => /^(sandbox|cgroup):/.test(wall));
  if (isHeld) await writeFile(file, "99999\n");
  await newDriver(sandbox).stop(spec.id, "immediate");
  await newDriver(sandbox).destroy(spec.id);
  if (!isHeld) return ctx.skip("neither a sandbox nor control groups here");
  expect(identifyProcess(pid)).toBeUndefined();
});

async function spares(home: string): Promise<string[]> {
  const names = await readdir(join(home, "spares"));
  return names.filter((name) => !name.startsWith("."));
}
