/** What is found out of the machine that the tests run on, and how much of that is true. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { canChangeOwner } from "@aerodb/postgres";
import { FingerprintSchema } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import { silent } from "@aerodb/runtime";
import { toJson } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { askDocker } from "./docker-engine.ts";
import { coarse, readFileSystems } from "./file-systems.ts";
import { FingerprintWatch } from "./fingerprint-watch.ts";
import { distributionIn } from "./machine.ts";
import { type FingerprintOptions, openProber, takeFingerprint } from "./take-fingerprint.ts";

let home: string;
let options: FingerprintOptions;
let docker: Server | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "aerodb-facts-"));
  options = {
    home,
    engineDirectory: join(home, "engines"),
    search: { binDirectories: [join(home, "named")], systemDirectory: join(home, "system") },
    driver: "process",
    dockerSocket: join(home, "docker.sock"),
    logger: silent,
    // What is asserted here is not how busy the machine is.
    deadlineMs: 20_000,
  };
});
afterEach(async () => {
  docker?.closeAllConnections();
  docker?.close();
  docker = undefined;
  await rm(home, { recursive: true, force: true });
});

/** Programs that say they are a version of Postgres. */
async function installEngine(name: string, version: string): Promise<void> {
  const directory = join(home, name);
  await mkdir(directory, { recursive: true });
  for (const program of ["postgres", "initdb"]) {
    const script = `#!/bin/sh\necho "postgres (PostgreSQL) ${version}"\n`;
    await writeFile(join(directory, program), script, { mode: 0o755 });
  }
}

async function serveDocker(answer: RequestListener): Promise<void> {
  docker = createServer(answer);
  await new Promise<void>((resolve) => docker?.listen(options.dockerSocket, resolve));
}

const ABOUT: RequestListener = (request, response) => {
  const version = { Version: "20.10.24", ApiVersion: "1.41" };
  const about = { MemoryLimit: true, CpuCfsQuota: true, PidsLimit: false };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(request.url?.endsWith("/version") ? version : about));
};

test("the machine is described, and nothing is left behind", async () => {
  await mkdir(join(home, "instances"));
  const { fingerprint } = await takeFingerprint(openProber(options), options);
  expect(fingerprint).toMatchObject({
    bootId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    driver: "process",
    architecture: process.arch,
    kernel: expect.stringMatching(/^Linux \d/),
    engines: [expect.stringMatching(/^18\./)],
  });
  expect(fingerprint.memoryBytes).toBeLessThanOrEqual(BigInt(totalmem()));
  expect(fingerprint.memoryBytes).toBeGreaterThan(0n);
  expect(fingerprint.cores).toBeGreaterThan(0);
  expect(fingerprint.volumeMeans).toContain("copy");
  expect(fingerprint.foundEngines).toMatchObject([
    { origin: "embedded", floor: "18.4", meetsFloor: true },
  ]);
  const { diskBytes, fileSystems } = fingerprint;
  expect(fileSystems[0]).toMatchObject({ holds: ["instances", "engines", "sockets"] });
  expect(fileSystems[0]?.sizeBytes).toBe(diskBytes);
  expect(fingerprint.capabilities.includes("process_user")).toBe(canChangeOwner());
  expect(fingerprint.capabilities.includes("reflink")).toBe(fileSystems[0]?.reflink);
  expect(
    (await readdir(home, { recursive: true })).filter((each) => /probe|view/.test(each)),
  ).toEqual([]);
});

test("engines are listed with where they are from, and production allows those over the floor", async () => {
  await installEngine("named", "17.9");
  await installEngine("system/16/bin", "16.14");
  const search = { ...options.search, production: true };
  const { fingerprint } = await takeFingerprint(openProber(options), { ...options, search });
  expect(
    fingerprint.foundEngines.map(({ version, origin, floor, meetsFloor }) => {
      return [version, origin, floor, meetsFloor];
    }),
  ).toEqual([
    ["17.9", "configured", "17.10", false],
    [expect.any(String), "embedded", "18.4", true],
    ["16.14", "system", "16.14", true],
  ]);
  expect(fingerprint.engines).toEqual([expect.stringMatching(/^18\./), "16.14"]);
});

test("a Docker that answers is told with what it can hold containers to", async () => {
  await serveDocker(ABOUT);
  const asContainer = { ...options, driver: "container" as const };
  const { fingerprint } = await takeFingerprint(openProber(options), asContainer);
  expect(fingerprint.docker).toMatchObject({ version: "20.10.24", apiVersion: "1.41" });
  expect(fingerprint).toMatchObject({ driver: "container", sandbox: "container" });
  expect(fingerprint.capabilities).toEqual(
    expect.arrayContaining(["cpu_limit", "memory_limit", "sandbox", "network_wall", "containers"]),
  );
  expect(fingerprint.capabilities).not.toContain("pids_limit");
});

test("a Docker that hangs holds nothing up, and one that is not there is none", async () => {
  expect(await askDocker(options.dockerSocket, 100)).toBeUndefined();
  await serveDocker(() => undefined);
  await expect(askDocker(options.dockerSocket, 100)).rejects.toThrow();
  const { fingerprint } = await takeFingerprint(openProber(options), options);
  expect(fingerprint.docker).toBeUndefined();
  expect(fingerprint.kernel).not.toBe("");
});

test("a Docker that refuses to say what it is counts as one that does not answer", async () => {
  await serveDocker((_request, response) => response.writeHead(500).end());
  await expect(askDocker(options.dockerSocket, 1_000)).rejects.toThrow("answers 500");
});

test("taken again on a machine that is the same, nothing is told; a new engine is", async () => {
  const watch = await FingerprintWatch.open(options);
  let told = 0;
  watch.onChange(() => {
    told += 1;
  });
  const before = toJson(FingerprintSchema, watch.current);
  await Promise.all([watch.takeAgain(), watch.takeAgain()]);
  const same = toJson(FingerprintSchema, watch.current);
  // The disk is everybody's: free space may pass a step meanwhile.
  expect({ ...(same as object), fileSystems: [] }).toEqual({
    ...(before as object),
    fileSystems: [],
  });
  told = 0;
  await installEngine("system/17/bin", "17.10");
  await watch.takeAgain();
  expect(watch.current.engines).toContain("17.10");
  expect(told).toBe(1);
});

test("what is free is looked at without taking anything else again", async () => {
  const watch = await FingerprintWatch.open(options);
  await installEngine("system/17/bin", "17.10");
  const { bootId, capabilities } = watch.current;
  await watch.lookAtSpace();
  expect(watch.current).toMatchObject({ bootId, capabilities });
  expect(watch.current.engines).not.toContain("17.10");
});

test("what is free is told in coarse steps", () => {
  const GIB = 2n ** 30n;
  expect(coarse(50n * GIB + 123n, 100n * GIB)).toBe(50n * GIB);
  expect(coarse(GIB - 1n, 2n * GIB)).toBe(960n * 2n ** 20n);
  expect(coarse(5n, GIB)).toBe(0n);
});

test("a file system that holds several things is told once", async () => {
  const places = { instances: home, engines: join(home, "not", "yet"), sockets: "/proc" };
  expect(await readFileSystems(places)).toMatchObject([
    { holds: ["instances", "engines"], directory: home },
    { holds: ["sockets"], type: "proc", reflink: false },
  ]);
});

test("the distribution is read as it names itself", () => {
  expect(distributionIn('ID=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nA=1')).toBe(
    "Debian GNU/Linux 12 (bookworm)",
  );
  expect(distributionIn("PRETTY_NAME=Alpine")).toBe("Alpine");
  expect(distributionIn("")).toBe("");
});

test("one that starts on a busy machine says what the agent before it found", async () => {
  const before = (await FingerprintWatch.open(options)).current;
  expect(before.volumeMeans).toContain("copy");
  const watch = await FingerprintWatch.open({ ...options, deadlineMs: 0 });
  expect(watch.current.capabilities).toEqual(before.capabilities);
  expect(watch.current.volumeMeans).toEqual(before.volumeMeans);
  expect(watch.current.engines).toEqual(before.engines);
  // What is late goes on in the home, which is removed next.
  await vi.waitFor(async () => expect(await readdir(home)).toEqual(["findings"]), 20_000);
});
