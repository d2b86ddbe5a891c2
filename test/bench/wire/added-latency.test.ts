/** What is added to a query when nobody is in a hurry: 1,000 transactions a second. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ms, p50, report } from "../figures.ts";
import { peersMissing } from "./peers.ts";
import { inTurns, pgbench, ROUNDS, SECONDS } from "./turns.ts";
import { type Target, WireStage } from "./wire-stage.ts";

const RATE = 1_000;
const CLIENTS = 8;
const MICROSECONDS = 1_000;
/** Columns of pgbench's log: when it was due until when it was done, and how late it began. */
const TOOK = 2;
const LATE = 6;

describe.skipIf(peersMissing())("1,000 transactions a second", () => {
  let stage: WireStage;
  beforeAll(async () => {
    stage = await WireStage.open();
    await stage.prepareTables();
  });
  afterAll(() => stage?.close());

  /** The middle of how long transactions took, from when each was begun. */
  async function latencyMs(target: Target): Promise<number> {
    const directory = mkdtempSync(join(tmpdir(), "aerodb-latency-"));
    try {
      const log = ["--log", "--log-prefix", join(directory, "log")];
      const words = ["-S", "-M", "prepared", "--rate", `${RATE}`, ...log];
      await pgbench(stage, target, { clients: CLIENTS, words });
      const lines = readdirSync(directory).flatMap((name) =>
        readFileSync(join(directory, name), "latin1").trimEnd().split("\n"),
      );
      const took = lines.map((line) => {
        const columns = line.split(" ").map(Number);
        return ((columns[TOOK] ?? Number.NaN) - (columns[LATE] ?? Number.NaN)) / MICROSECONDS;
      });
      // What is prepared once is not what a query costs.
      return p50(took.slice(CLIENTS));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  test("added to each", { timeout: 600_000 }, async () => {
    const { direct } = stage;
    const gateway = await stage.gateway();
    const pooled = await stage.pooledGateway();
    const { session } = await stage.pgBouncer();
    const haproxy = await stage.haproxy();
    const between = [gateway, pooled, haproxy, session];
    await inTurns([direct, ...between], latencyMs, 1);
    const taken = await inTurns([direct, ...between], latencyMs);
    const straight = taken(direct);
    const added = (target: Target) =>
      p50(taken(target).map((value, round) => value - (straight[round] ?? Number.NaN)));
    const reach = `<= HAProxy's ${ms(added(haproxy))}`;
    report(`p50 at ${RATE} tx/s for ${SECONDS} s, ${CLIENTS} clients`, [
      { what: "direct", measured: ms(p50(straight)), reach: "-" },
      ...between.map((target) => ({
        what: `added by ${target.name}`,
        measured: ms(added(target)),
        reach: target === gateway || target === pooled ? reach : "-",
      })),
    ]);
    expect(taken(gateway)).toHaveLength(ROUNDS);
  });
});
