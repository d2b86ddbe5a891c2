/**
 * What an instance loses to a neighbour that takes all it is allowed. All processors are promised
 * to the two in equal parts, but for what the load itself needs. The victim alone is measured with
 * no more processor time than its promise: a fair share is what it has beside somebody greedy.
 */
import { availableParallelism } from "node:os";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../until.ts";
import { BenchHost, type BenchInstance } from "./bench-host.ts";
import { rates, ratio, report } from "./figures.ts";
import { applyLoad, pgbenchMissing, prepareLoad, READ_MUCH } from "./pgbench.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 4);
const SECONDS = 4;
const WARM_UP_MS = 1_000;
/** What pgbench uses, and the rest of the machine. */
const LOAD_MILLIS = 300;
const PROMISE_MILLIS = Math.floor((availableParallelism() * 1_000 - LOAD_MILLIS) / 2);
const HOG_MIB = 256;
const CONNECTIONS = 50;
const SESSIONS = 8;

interface Hog {
  readonly what: string;
  /** How the victim is loaded. */
  readonly victim: readonly string[];
  /** What each session of the hog does again and again. */
  readonly statements: (session: number) => readonly string[];
}

const HOGS: readonly Hog[] = [
  {
    what: "processor",
    victim: READ_MUCH,
    statements: () => ["select sum(i) from generate_series(1, 300000) i"],
  },
  {
    what: "memory",
    victim: READ_MUCH,
    statements: () => [
      "set work_mem = '1GB'",
      "select count(*) from (select repeat(md5(i::text), 8) t from generate_series(1, 400000) i" +
        " order by t) sorted",
    ],
  },
  {
    what: "input and output",
    victim: ["-N"],
    statements: (session) => [
      `create table if not exists public.hog_${session} (t text)`,
      `insert into public.hog_${session}` +
        " select repeat(md5(i::text), 30) from generate_series(1, 20000) i",
      `truncate public.hog_${session}`,
      "checkpoint",
    ],
  },
];

describe.skipIf(pgbenchMissing())("a noisy neighbour", () => {
  let host: BenchHost;
  let victim: BenchInstance;
  let hog: BenchInstance;

  beforeAll(async () => {
    host = await BenchHost.open();
    const both = { cpuMillis: PROMISE_MILLIS, maxConnections: CONNECTIONS };
    victim = await host.launch({ ...both, memoryMiB: 512 });
    hog = await host.launch({ ...both, memoryMiB: HOG_MIB });
    await prepareLoad(host, victim, 5);
  });
  afterAll(() => host?.close());

  async function promise(cpuMillis: number): Promise<void> {
    await host.driver.resize(victim.running, { ...victim.spec, cpuMillis });
  }

  /** The victim alone, with what it has when both are greedy: its quota is twice its promise. */
  async function alone(words: readonly string[]): Promise<number> {
    await promise(Math.floor(PROMISE_MILLIS / 2));
    const tps = await applyLoad(host, victim, { seconds: SECONDS, clients: 4, words });
    await promise(PROMISE_MILLIS);
    return tps;
  }

  /** The victim while the hog is at work. */
  async function beside(start: () => () => Promise<void>, words: readonly string[]) {
    const stop = start();
    try {
      await sleep(WARM_UP_MS);
      return await applyLoad(host, victim, { seconds: SECONDS, clients: 4, words });
    } finally {
      await stop();
    }
  }

  async function compare(
    what: string,
    words: readonly string[],
    start: () => () => Promise<void>,
  ): Promise<void> {
    const [free, fair, noisy]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      free.push(await applyLoad(host, victim, { seconds: SECONDS, clients: 4, words }));
      fair.push(await alone(words));
      noisy.push(await beside(start, words));
    }
    report(`A neighbour greedy for ${what}`, [
      { what: "victim alone", measured: rates(free), reach: "-" },
      { what: "alone, on its fair share", measured: rates(fair), reach: "-" },
      { what: "beside it", measured: rates(noisy), reach: "-" },
      { what: "ratio to the fair share", measured: ratio(noisy, fair), reach: ">= 0.85" },
      { what: "ratio to alone", measured: ratio(noisy, free), reach: "-" },
    ]);
    expect(noisy).toHaveLength(ROUNDS);
  }

  function lacksLimits(): string | undefined {
    if (victim.running.walls.includes("cgroup:cpu")) return undefined;
    return "no control group of the processor can be made here";
  }

  /** Sessions that are at it until they are stopped; what is refused is tried again. */
  function sessions(statements: Hog["statements"]): () => Promise<void> {
    const over = new AbortController();
    const going = Array.from({ length: SESSIONS }, (_, at) => insist(statements(at), over.signal));
    return async () => {
      over.abort();
      // Its server may be starting again: a hog for memory can reach the limit of its group.
      await until("the hog to be stopped", () => endSessions(), 60_000);
      await Promise.all(going);
    };
  }

  async function endSessions(): Promise<boolean> {
    const client = await host.connect(hog.running);
    await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity" +
        " where backend_type = 'client backend' and pid <> pg_backend_pid()",
    );
    await client.end();
    return true;
  }

  async function insist(statements: readonly string[], signal: AbortSignal): Promise<void> {
    let client: pg.Client | undefined;
    while (!signal.aborted) {
      try {
        client ??= await host.connect(hog.running);
        for (const statement of statements) await client.query(statement);
      } catch {
        // Out of memory, or the server starts again: a hog does not give up.
        await client?.end().catch(() => undefined);
        client = undefined;
        await sleep(50);
      }
    }
    await client?.end().catch(() => undefined);
  }

  test.for(HOGS)("greedy for $what", { timeout: 600_000 }, async (one, ctx) => {
    const lack = lacksLimits();
    if (lack !== undefined) return ctx.skip(lack);
    await compare(one.what, one.victim, () => sessions(one.statements));
  });

  test("greedy for connections", { timeout: 600_000 }, async (ctx) => {
    const lack = lacksLimits();
    if (lack !== undefined) return ctx.skip(lack);
    const storm = { seconds: SECONDS + 2, clients: CONNECTIONS, words: ["-S", "-C"], yields: true };
    await prepareLoad(host, hog, 1);
    await compare("connections", READ_MUCH, () => {
      const going = applyLoad(host, hog, storm);
      return async () => void (await going);
    });
  });
});
