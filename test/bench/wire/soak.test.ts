/**
 * 64 connections at work for SOAK_SECONDS on every port of the gateway, at a rate that leaves the
 * machine room, with a few that go straight beside them: where those stall too, it was the machine.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { every } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mib, ms, p50, report } from "../figures.ts";
import { memoryOf } from "../process-cost.ts";
import { peersMissing } from "./peers.ts";
import { pgbench } from "./turns.ts";
import { type Target, WireStage } from "./wire-stage.ts";

const SOAK_SECONDS = Number(process.env["SOAK_SECONDS"] ?? 20);
const CONNECTIONS = 64;
const RATE = 800;
const BESIDE = { clients: 4, rate: 40 };
const SAMPLE_MS = 1_000;
const MICROSECONDS = 1_000;
/** Columns of pgbench's log by the second: how many were done, and the longest. */
const DONE = 1;
const LONGEST = 5;

describe.skipIf(peersMissing())("a soak", () => {
  let stage: WireStage;
  let directory: string;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "aerodb-soak-"));
    stage = await WireStage.open();
    await stage.prepareTables();
  });
  afterAll(async () => {
    await stage?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The longest that one transaction took, from when it was due, and how many there were. */
  async function soak(
    target: Target,
    how: { readonly clients: number; readonly rate: number; readonly words: readonly string[] },
  ) {
    const prefix = target.name.replace(/\W+/g, "-");
    const log = ["--log", "--aggregate-interval", "1", "--log-prefix", join(directory, prefix)];
    // More that read than write, as in most applications.
    const scripts = ["-b", "select-only@9", "-b", "simple-update@1"];
    const words = [...scripts, ...how.words, "--rate", `${how.rate}`, ...log];
    await pgbench(stage, target, { clients: how.clients, seconds: SOAK_SECONDS, words });
    const seconds = readdirSync(directory)
      .filter((name) => name.startsWith(`${prefix}.`))
      .flatMap((name) => readFileSync(join(directory, name), "latin1").trimEnd().split("\n"))
      .map((line) => line.split(" ").map(Number));
    return {
      target,
      longestMs: Math.max(...seconds.map((columns) => columns[LONGEST] ?? 0)) / MICROSECONDS,
      done: seconds.reduce((sum, columns) => sum + (columns[DONE] ?? 0), 0),
    };
  }

  test(`${CONNECTIONS} connections for ${SOAK_SECONDS} s`, {
    timeout: (SOAK_SECONDS + 300) * SAMPLE_MS,
  }, async () => {
    const plain = await stage.gateway();
    const secure = { ...plain, name: "gateway, TLS", tls: true };
    const ports = [plain, secure, await stage.pooledGateway()];
    const clients = Math.floor(CONNECTIONS / ports.length);
    const rate = RATE / ports.length;
    const memory: number[] = [];
    const over = new AbortController();
    const { pid = 0 } = plain;
    every(SAMPLE_MS, () => void memory.push(memoryOf(pid).rssBytes), over.signal);
    const words = ["-M", "prepared"];
    const straight = soak(stage.direct, { ...BESIDE, words });
    const through = ports.map((target) => soak(target, { clients, rate, words }));
    const ended = await Promise.all([...through, straight]).finally(() => over.abort());

    // Of the first fifth nothing is said: until then code is compiled and caches fill.
    const warm = memory.slice(Math.floor(memory.length / 5));
    const quarter = Math.ceil(warm.length / 4);
    const [early, late] = [p50(warm.slice(0, quarter)), p50(warm.slice(-quarter))];
    report(`${clients * ports.length} connections for ${SOAK_SECONDS} s`, [
      ...ended.map(({ target, longestMs, done }) => ({
        what: `longest by ${target.name}`,
        measured: `${ms(longestMs)} of ${done}`,
        reach: target === stage.direct ? "-" : "< 1,000 ms",
      })),
      { what: "memory, early and late", measured: `${mib(early)}, ${mib(late)}`, reach: "-" },
      { what: "growth", measured: mib(late - early), reach: "none" },
    ]);
    expect(ended.every(({ done }) => done > 0)).toBe(true);
  });
});
