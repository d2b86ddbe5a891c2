/** Many clients on few server connections, and clients that come for one query. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Figure, rates, report } from "../figures.ts";
import { cpuSecondsOfEnded } from "../process-cost.ts";
import { POOL_CONNECTIONS, peersMissing } from "./peers.ts";
import {
  costedPgbench,
  cpuOf,
  inTurns,
  microseconds,
  type PgbenchLoad,
  ROUNDS,
  tpsOf,
  turnRatio,
} from "./turns.ts";
import { type Target, WireStage } from "./wire-stage.ts";

const MANY = { clients: 64, words: ["-S", "-M", "simple"] };
const PREPARED = { clients: 64, words: ["-S", "-M", "prepared"] };
const COMING_AND_GOING = { clients: 8, words: ["-S", "-C"] };
const MICROSECONDS = 1_000_000;

describe.skipIf(peersMissing())(`the pooled port, ${POOL_CONNECTIONS} server connections`, () => {
  let stage: WireStage;
  let pooled: Target;
  let transaction: Target;
  let bare: Target;

  beforeAll(async () => {
    stage = await WireStage.open();
    await stage.prepareTables();
    pooled = await stage.pooledGateway();
    transaction = (await stage.pgBouncer()).transaction;
    bare = await stage.bareRelay();
  });
  afterAll(() => stage?.close());

  async function compare(targets: readonly Target[], load: PgbenchLoad) {
    await inTurns(targets, (target) => costedPgbench(stage, target, load), 1);
    return inTurns(targets, (target) => costedPgbench(stage, target, load));
  }

  test("64 clients, simple protocol", async () => {
    const targets = [stage.direct, pooled, transaction, bare];
    const runs = await compare(targets, MANY);
    const beside = turnRatio(tpsOf(runs(pooled)), tpsOf(runs(transaction)));
    report("pgbench -S -M simple, 64 clients", [
      ...targets.flatMap((target): Figure[] => [
        { what: target.name, measured: rates(tpsOf(runs(target))), reach: "-" },
        { what: "processor", measured: microseconds(cpuOf(runs(target))), reach: "-" },
      ]),
      { what: "gateway / PgBouncer", measured: beside.toFixed(2), reach: ">= 0.80" },
      {
        what: "processor, gateway / bare relay of Node",
        measured: turnRatio(cpuOf(runs(pooled)), cpuOf(runs(bare))).toFixed(2),
        reach: "-",
      },
    ]);
    expect(runs(pooled)).toHaveLength(ROUNDS);
  });

  test("64 clients with prepared statements, which PgBouncer 1.18 cannot", async () => {
    const runs = await compare([stage.direct, pooled], PREPARED);
    const beside = turnRatio(tpsOf(runs(pooled)), tpsOf(runs(stage.direct)));
    report("pgbench -S -M prepared, 64 clients", [
      { what: "direct", measured: rates(tpsOf(runs(stage.direct))), reach: "-" },
      { what: pooled.name, measured: rates(tpsOf(runs(pooled))), reach: "-" },
      { what: "processor", measured: microseconds(cpuOf(runs(pooled))), reach: "-" },
      { what: "gateway / direct", measured: beside.toFixed(2), reach: "-" },
    ]);
    expect(runs(pooled)).toHaveLength(ROUNDS);
  });

  test("connect, one query, close", async () => {
    const targets = [stage.direct, pooled, transaction];
    const runs = await inTurns(targets, async (target) => {
      const before = cpuSecondsOfEnded();
      const run = await costedPgbench(stage, target, COMING_AND_GOING);
      const client = (cpuSecondsOfEnded() - before) * MICROSECONDS;
      return { ...run, client: client / run.transactions };
    });
    const beside = (other: Target) => turnRatio(tpsOf(runs(pooled)), tpsOf(runs(other)));
    report("pgbench -S -C, 8 clients", [
      ...targets.flatMap((target): Figure[] => [
        { what: target.name, measured: rates(tpsOf(runs(target))), reach: "-" },
        { what: "processor", measured: microseconds(cpuOf(runs(target))), reach: "-" },
        {
          what: "processor of the client",
          measured: microseconds(runs(target).map(({ client }) => client)),
          reach: "-",
        },
      ]),
      { what: "gateway / PgBouncer", measured: beside(transaction).toFixed(2), reach: ">= 0.8" },
      { what: "gateway / direct", measured: beside(stage.direct).toFixed(2), reach: ">= 5" },
    ]);
    expect(runs(pooled)).toHaveLength(ROUNDS);
  });
});
