/**
 * An instance whose volume is full and that goes on trying to write: what its server says, what
 * still works in it, and what its neighbour feels.
 */
import { readFileSync } from "node:fs";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { detectVolumeMeans } from "../../agent/src/storage/volume-means.ts";
import { BenchHost, type BenchInstance } from "./bench-host.ts";
import { rates, ratio, report } from "./figures.ts";
import { applyLoad, pgbenchMissing, prepareLoad } from "./pgbench.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 6);
const SECONDS = 5;
const STORAGE_MIB = 200;
/** An application that does not give up. */
const RETRY_MS = 10;
/** ENOSPC, as Postgres says it. */
const DISK_FULL = "53100";
const load = { seconds: SECONDS, clients: 2, words: ["-N"] };

describe.skipIf(pgbenchMissing())("a full volume", () => {
  let host: BenchHost;
  let full: BenchInstance;
  let neighbour: BenchInstance;
  let client: pg.Client;

  beforeAll(async () => {
    host = await BenchHost.open();
    full = await host.launch({ storageMiB: STORAGE_MIB, cpuMillis: 250 });
    neighbour = await host.launch({ cpuMillis: 1_000, memoryMiB: 512 });
    client = await host.connect(full.running);
    await prepareLoad(host, neighbour, 5);
  });
  afterAll(async () => {
    await client?.end();
    await host?.close();
  });

  /** Writes until there is no room; returns how many rows went in. */
  async function write(): Promise<number> {
    for (let rows = 0; ; rows += 5_000) {
      try {
        await client.query("insert into public.filled select i from generate_series(1, 5000) i");
      } catch (error) {
        if ((error as pg.DatabaseError).code !== DISK_FULL) throw error;
        return rows;
      }
    }
  }

  /** Tries to write again and again. Returns how to stop that, and how often it was refused. */
  function insist(): () => Promise<number> {
    let over = false;
    let refused = 0;
    async function go(): Promise<number> {
      while (!over) {
        await write();
        refused += 1;
        await sleep(RETRY_MS);
      }
      return refused;
    }
    const going = go();
    return () => {
      over = true;
      return going;
    };
  }

  /** How a statement fares. */
  async function refusal(statement: string): Promise<string> {
    return client.query(statement).then(
      () => "works",
      (error: unknown) => `refused: ${(error as Error).message}`,
    );
  }

  async function count(): Promise<number> {
    const { rows } = await client.query("select count(*)::int as n from public.filled");
    return rows[0].n;
  }

  test("and its neighbour", { timeout: 600_000 }, async (ctx) => {
    const { hardLimits } = await detectVolumeMeans(host.home);
    if (hardLimits.length === 0) return ctx.skip("no means here holds data to a limit");
    await client.query("create table public.filled (i int)");
    await write();
    const [alone, beside]: [number[], number[]] = [[], []];
    let refused = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      alone.push(await applyLoad(host, neighbour, load));
      const stop = insist();
      beside.push(await applyLoad(host, neighbour, load));
      refused += await stop();
    }
    const before = await count();
    await client.query("checkpoint");
    await client.query("delete from public.filled where ctid < '(1000,0)'");
    const deleted = before - (await count());
    const vacuumed = await refusal("vacuum public.filled");
    const truncated = await refusal("truncate public.filled");
    await client.query("drop table public.filled");
    await client.query("create table public.filled as select 1 as i");
    const log = readFileSync(host.place(full.spec).log, "utf8");
    const panics = log.split("\n").filter((line) => line.includes("PANIC")).length;
    report("A volume that is full", [
      { what: "writes refused", measured: `${refused}`, reach: "-" },
      { what: "PANIC in its log", measured: `${panics}`, reach: "0" },
      { what: "rows read; deleted", measured: `${before}; ${deleted}`, reach: "both work" },
      { what: "vacuum after that", measured: vacuumed, reach: "-" },
      { what: "truncate after that", measured: truncated, reach: "-" },
      { what: "neighbour alone", measured: rates(alone), reach: "-" },
      { what: "neighbour beside it", measured: rates(beside), reach: "-" },
      { what: "ratio of the two", measured: ratio(beside, alone), reach: ">= 0.95" },
    ]);
    expect(panics).toBe(0);
    expect(refused).toBeGreaterThan(0);
    expect(deleted).toBeGreaterThan(0);
  });
});
