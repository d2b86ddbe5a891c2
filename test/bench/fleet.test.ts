/**
 * Many idle instances on one host: what each takes of memory, what their agent takes, and how soon
 * all are up after the machine was restarted. Held against the same data, started without walls by
 * two workers that do nothing else. BENCH_INSTANCES says how many, BENCH_STORAGE_MIB how large the
 * volume of each is.
 */
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  canChangeOwner,
  connectPlatform,
  type Postmaster,
  startPostmaster,
} from "@aerodb/postgres";
import { monotonicMs, sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DesiredInstance } from "../../agent/src/desired.ts";
import { sampleInstance } from "../../agent/src/sample-desired.ts";
import { EngineShelf, type ReadyEngine } from "../../agent/src/storage/engine-shelf.ts";
import { type InstancePlace, layoutOf, placeOf } from "../../agent/src/storage/layout.ts";
import {
  type ThrowawayFileSystem,
  throwawayFileSystem,
} from "../../agent/src/storage/throwaway-file-system.ts";
import { processesOf, signal } from "../processes.ts";
import { until } from "../until.ts";
import { BenchAgent } from "./bench-agent.ts";
import { mib, p50, ratio, report } from "./figures.ts";
import { cpuSecondsOf, kernelBytes, memoryOf, treeMemoryOf } from "./process-cost.ts";

const INSTANCES = Number(process.env["BENCH_INSTANCES"] ?? 100);
const STORAGE_MIB = Number(process.env["BENCH_STORAGE_MIB"] ?? 0);
const IDLE_MS = Number(process.env["BENCH_IDLE_SECONDS"] ?? 300) * 1_000;
const REBOOTS = Number(process.env["BENCH_ROUNDS"] ?? 2);
/** The kernel frees what the dead held, a moment after they are gone. */
const FREED_MS = 4_000;
/** What servers write after their start, and sessions that are still ending. */
const SETTLE_MS = 12_000;
/** The agent looks at its host every 45 s. */
const LOOKED_AT_MS = 60_000;
const WORKERS = 2;
const UP_MS = 3_000 + INSTANCES * 1_500;
const GENERATION = 1n;

let fileSystem: ThrowawayFileSystem;
let agent: BenchAgent;
let desired: readonly DesiredInstance[];

beforeAll(async () => {
  fileSystem = await throwawayFileSystem("plain");
  agent = await BenchAgent.open(join(fileSystem.directory, "home"));
  // The first start ever compiles, and holds the compiler for as long as it runs.
  await agent.start();
  await agent.leave();
  desired = Array.from({ length: INSTANCES }, (_, at) =>
    sampleInstance({
      shared: false,
      maxConnections: 100,
      memoryMiB: 128,
      cpuMillis: 100,
      storageMiB: STORAGE_MIB,
      importance: at % 10,
      generation: GENERATION,
    }),
  );
});

afterAll(async () => {
  await agent.kill();
  agent.close();
  await endServers();
  await fileSystem.remove();
}, 600_000);

function servers(): readonly number[] {
  return processesOf([agent.home])
    .filter((each) => each.arguments[0]?.endsWith("/postgres") && each.arguments.includes("-D"))
    .map(({ pid }) => pid);
}

/** All at once, as a machine that loses its power. */
async function endServers(): Promise<void> {
  const ours = () => processesOf([agent.home]).filter(({ pid }) => pid !== process.pid);
  for (const { pid } of ours()) signal(pid, "SIGKILL");
  await until("every server to be gone", () => ours().length === 0, 60_000);
  await sleep(FREED_MS);
}

interface Footprint {
  /** Of each server, with all its processes. */
  readonly pss: readonly number[];
  /** What the kernel held more for each. */
  readonly kernel: number;
}

function footprint(before: number): Footprint {
  const pss = servers().map((pid) => treeMemoryOf(pid).pssBytes);
  return { pss, kernel: (kernelBytes() - before) / pss.length };
}

/** Starts everything there is by hand; returns how long that took. */
async function startAllByHand(): Promise<number> {
  const shelf = new EngineShelf({
    directory: join(agent.home, "engines"),
    search: {},
    rootPassword: rootPassword(),
  });
  const ready = await shelf.ready(18);
  const waiting = desired.map(({ spec }) => placeOf(layoutOf(agent.home), spec.id));
  mkdirSync(join(agent.home, "run", "by-hand"), { recursive: true, mode: 0o711 });
  const began = monotonicMs();
  async function worker(): Promise<void> {
    for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
      await startByHand(place, ready);
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, worker));
  return monotonicMs() - began;
}

async function startByHand(place: InstancePlace, { engine }: ReadyEngine): Promise<Postmaster> {
  const socketDirectory = join(agent.home, "run", "by-hand", place.socketDirectory.slice(-12));
  const { uid, gid } = statSync(place.data);
  const server = await startPostmaster({
    engine,
    dataDirectory: place.data,
    socketDirectory,
    lockFile: place.lock,
    logFile: place.log,
    ...(canChangeOwner() ? { owner: { uid, gid } } : {}),
  });
  const client = await connectPlatform({ socketDirectory, password: rootPassword() });
  await client.query("select 1");
  await client.end();
  return server;
}

function rootPassword(): string {
  return readFileSync(join(agent.home, "root-password"), "utf8").trim();
}

test(`${INSTANCES} idle instances`, { timeout: 3_600_000 }, async () => {
  await agent.start();
  const empty = memoryOf(agent.pid);
  const began = monotonicMs();
  await agent.desire(desired, GENERATION);
  await agent.running(INSTANCES, UP_MS);
  const madeMs = monotonicMs() - began;
  // Until the agent has looked once at what each server wrote as it came up.
  await sleep(LOOKED_AT_MS);
  const cpuBefore = cpuSecondsOf(agent.pid);
  const samplesBefore = agent.samples;
  await sleep(IDLE_MS);
  const share = (cpuSecondsOf(agent.pid) - cpuBefore) / (IDLE_MS / 1_000);
  const full = memoryOf(agent.pid);
  report(`An agent with ${INSTANCES} idle instances, metering on`, [
    { what: "all made and started", measured: `${(madeMs / 1_000).toFixed(1)} s`, reach: "-" },
    { what: "RSS, without an instance", measured: mib(empty.rssBytes), reach: "-" },
    { what: "RSS", measured: mib(full.rssBytes), reach: "300: <= 120 MB" },
    { what: "PSS", measured: mib(full.pssBytes), reach: "-" },
    { what: "of a core", measured: `${(share * 100).toFixed(2)} %`, reach: "300: <= 3 %" },
    {
      what: "samples a second",
      measured: ((agent.samples - samplesBefore) / (IDLE_MS / 1_000)).toFixed(1),
      reach: "-",
    },
    { what: "walls", measured: agent.walls.join(", "), reach: "-" },
  ]);
  expect(agent.samples).toBeGreaterThan(samplesBefore);
});

test("after the machine was restarted", { timeout: 3_600_000 }, async () => {
  const [all, first, hand]: [number[], number[], number[]] = [[], [], []];
  const ours: Footprint[] = [];
  const theirs: Footprint[] = [];
  for (let round = 0; round < REBOOTS; round += 1) {
    await agent.kill();
    await endServers();
    let before = kernelBytes();
    await agent.start();
    const times = await agent.running(INSTANCES, UP_MS);
    all.push(times.at(-1) ?? Number.NaN);
    first.push(times[0] ?? Number.NaN);
    await sleep(SETTLE_MS);
    ours.push(footprint(before));
    await agent.kill();
    await endServers();

    before = kernelBytes();
    hand.push(await startAllByHand());
    await sleep(SETTLE_MS);
    theirs.push(footprint(before));
  }
  const pss = [ours, theirs].map((each) => each.flatMap((one) => one.pss));
  const kernel = [ours, theirs].map((each) => each.map((one) => one.kernel));
  const whole = [ours, theirs].map((each) => each.map((one) => p50(one.pss) + one.kernel));
  const said = (samples: readonly (readonly number[])[]): string =>
    samples.map((each) => mib(p50(each))).join(" against ");
  report(`${INSTANCES} instances after the machine was restarted`, [
    { what: "all up, from the agent's start", measured: seconds(all), reach: "-" },
    { what: "the first", measured: seconds(first), reach: "< 1 s" },
    { what: `all up, ${WORKERS} workers by hand`, measured: seconds(hand), reach: "-" },
    { what: "ratio of the two", measured: ratio(all, hand), reach: "<= 1.3" },
    { what: "memory each, PSS", measured: said(pss), reach: "-" },
    { what: "and of the kernel", measured: said(kernel), reach: "-" },
    { what: "together", measured: said(whole), reach: "6.4-9.1 MB" },
    { what: "ratio", measured: ratio(whole[0] ?? [], whole[1] ?? []), reach: "<= 1.15" },
  ]);
  expect(pss.map(({ length }) => length)).toEqual([INSTANCES * REBOOTS, INSTANCES * REBOOTS]);
});

function seconds(samples: readonly number[]): string {
  return samples.map((each) => `${(each / 1_000).toFixed(1)} s`).join(", ");
}
