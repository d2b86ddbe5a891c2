import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canChangeOwner, findEngine, findPostmaster, materializeEngine } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Catalogue, startCatalogue } from "./catalogue.ts";
import { type HomePaths, homePaths } from "./home-paths.ts";
import { endServers, findServers } from "./leftovers.ts";
import { localFindings } from "./local-findings.ts";
import type { PieceEvent } from "./piece.ts";

const OWNER = 1_299_999_999;

let home: string;
let paths: HomePaths;
let events: PieceEvent[] = [];
let last: Catalogue | undefined;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "aerodb-catalogue-"));
  chmodSync(home, 0o711);
  paths = homePaths(home, join(home, "state"));
  for (const directory of [paths.state, paths.engines, paths.logs]) mkdirSync(directory);
});
afterAll(async () => {
  await last?.kill();
  rmSync(home, { recursive: true, force: true });
});

async function start(): Promise<Catalogue> {
  const engine = await materializeEngine(await findEngine(), paths.engines);
  const owner = canChangeOwner() ? { uid: OWNER, gid: OWNER } : undefined;
  const report = (event: PieceEvent) => events.push(event);
  last = await startCatalogue({ paths, engine, owner, report }, AbortSignal.timeout(60_000));
  return last;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

const dataDirectory = () => join(paths.catalogue, "data");

test("the catalogue's server starts, and one that runs already is taken over", async () => {
  const first = await start();
  const postmaster = await findPostmaster(dataDirectory());
  const second = await start();
  expect(first.adopted).toBe(false);
  expect(second).toMatchObject({ adopted: true, url: first.url });
  expect((await findPostmaster(dataDirectory()))?.pid).toBe(postmaster?.pid);
  expect(localFindings(home)).toEqual([]);
  await first.stop(2_000);
  await second.stop(2_000);
  expect(findServers([home])).toEqual([]);
});

test("a server that is killed is started again", async () => {
  events = [];
  const catalogue = await start();
  const before = await findPostmaster(dataDirectory());
  process.kill(before?.pid ?? 0, "SIGKILL");
  await until(() => events.some(({ kind }) => kind === "serves_again"));
  const after = await findPostmaster(dataDirectory());
  expect(after?.pid).not.toBe(before?.pid);
  await catalogue.stop(2_000);
  expect(await findPostmaster(dataDirectory())).toBeUndefined();
});

test("servers that nobody looks after are ended, and their data is whole", async () => {
  const catalogue = await start();
  expect(findServers([home]).length).toBeGreaterThan(1);
  expect(await endServers([home], 5_000)).toBeGreaterThan(1);
  expect(findServers([home])).toEqual([]);
  await catalogue.kill();
  await (await start()).stop(2_000);
});

test("what belongs to nothing is found", async () => {
  mkdirSync(join(paths.state, "somebody-elses"));
  const draft = join(paths.engines, ".draft-18.4-abc");
  mkdirSync(draft);
  expect(localFindings(home).map(({ kind }) => kind)).toEqual(["stray_path"]);
  utimesSync(draft, new Date("2026-01-01"), new Date("2026-01-01"));
  expect(localFindings(home).map(({ kind }) => kind)).toEqual([
    "stray_path",
    "unfinished_directory",
  ]);
});
