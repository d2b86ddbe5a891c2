/** Short queries over connections that stay: what passing them on costs. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rates, report } from "../figures.ts";
import { peersMissing } from "./peers.ts";
import { costedPgbench, cpuOf, inTurns, microseconds, ROUNDS, tpsOf, turnRatio } from "./turns.ts";
import { type Target, WireStage } from "./wire-stage.ts";

const LOAD = { clients: 16, words: ["-S", "-M", "prepared"] };

describe.skipIf(peersMissing())("short queries over connections that stay", () => {
  let stage: WireStage;
  let gateway: Target;
  let session: Target;
  let haproxy: Target;

  beforeAll(async () => {
    stage = await WireStage.open();
    await stage.prepareTables();
    gateway = await stage.gateway();
    session = (await stage.pgBouncer()).session;
    haproxy = await stage.haproxy();
  });
  afterAll(() => stage?.close());

  async function compare(targets: readonly Target[]) {
    await inTurns(targets, (target) => costedPgbench(stage, target, LOAD), 1);
    return inTurns(targets, (target) => costedPgbench(stage, target, LOAD));
  }

  test("plain, by the session port", async () => {
    const { direct } = stage;
    const runs = await compare([direct, gateway, session, haproxy]);
    const beside = (other: Target) => turnRatio(tpsOf(runs(gateway)), tpsOf(runs(other)));
    const cost = (target: Target) => microseconds(cpuOf(runs(target)));
    const share = turnRatio(cpuOf(runs(gateway)), cpuOf(runs(haproxy)));
    report("pgbench -S -M prepared, 16 clients", [
      ...[direct, gateway, session, haproxy].map((target) => ({
        what: target.name,
        measured: rates(tpsOf(runs(target))),
        reach: "-",
      })),
      { what: "gateway / direct", measured: beside(direct).toFixed(2), reach: ">= 0.60" },
      {
        what: "gateway / PgBouncer, session",
        measured: beside(session).toFixed(2),
        reach: ">= 0.85",
      },
      { what: "processor per transaction, gateway", measured: cost(gateway), reach: "-" },
      { what: "likewise HAProxy", measured: cost(haproxy), reach: "-" },
      { what: "likewise PgBouncer", measured: cost(session), reach: "-" },
      { what: "gateway / HAProxy", measured: share.toFixed(2), reach: "<= 1.25" },
    ]);
    expect(runs(gateway)).toHaveLength(ROUNDS);
  });

  test("over TLS that ends in between", async () => {
    const [ours, theirs] = [gateway, session].map((target) => ({
      ...target,
      name: `${target.name}, TLS`,
      tls: true,
    })) as [Target, Target];
    const runs = await compare([ours, theirs]);
    const beside = turnRatio(tpsOf(runs(ours)), tpsOf(runs(theirs)));
    const share = turnRatio(cpuOf(runs(ours)), cpuOf(runs(theirs)));
    report("pgbench -S -M prepared, 16 clients, over TLS", [
      ...[ours, theirs].flatMap((target) => [
        { what: target.name, measured: rates(tpsOf(runs(target))), reach: "-" },
        {
          what: "processor per transaction",
          measured: microseconds(cpuOf(runs(target))),
          reach: "-",
        },
      ]),
      { what: "gateway / PgBouncer, rate", measured: beside.toFixed(2), reach: ">= 0.70" },
      { what: "gateway / PgBouncer, processor", measured: share.toFixed(2), reach: "-" },
    ]);
    expect(runs(ours)).toHaveLength(ROUNDS);
  });
});
