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
  let bare: Target;

  beforeAll(async () => {
    stage = await WireStage.open();
    await stage.prepareTables();
    gateway = await stage.gateway();
    session = (await stage.pgBouncer()).session;
    haproxy = await stage.haproxy();
    bare = await stage.bareRelay();
  });
  afterAll(() => stage?.close());

  async function compare(targets: readonly Target[]) {
    await inTurns(targets, (target) => costedPgbench(stage, target, LOAD), 1);
    return inTurns(targets, (target) => costedPgbench(stage, target, LOAD));
  }

  test("plain, by the session port", async () => {
    const { direct } = stage;
    const runs = await compare([direct, gateway, session, haproxy, bare]);
    const beside = (other: Target) => turnRatio(tpsOf(runs(gateway)), tpsOf(runs(other)));
    const cost = (target: Target) => microseconds(cpuOf(runs(target)));
    const share = (other: Target) => {
      return turnRatio(cpuOf(runs(gateway)), cpuOf(runs(other))).toFixed(2);
    };
    report("pgbench -S -M prepared, 16 clients", [
      ...[direct, gateway, session, haproxy, bare].map((target) => ({
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
      { what: "likewise a bare relay of Node", measured: cost(bare), reach: "-" },
      { what: "gateway / HAProxy", measured: share(haproxy), reach: "<= 1.25" },
      { what: "gateway / bare relay of Node", measured: share(bare), reach: "-" },
    ]);
    expect(runs(gateway)).toHaveLength(ROUNDS);
  });

  test("over TLS that ends in between", async () => {
    const [ours, theirs, floor] = [gateway, session, bare].map((target) => ({
      ...target,
      name: `${target.name}, TLS`,
      tls: true,
    })) as [Target, Target, Target];
    const runs = await compare([ours, theirs, floor]);
    const beside = turnRatio(tpsOf(runs(ours)), tpsOf(runs(theirs)));
    const share = (other: Target) => turnRatio(cpuOf(runs(ours)), cpuOf(runs(other))).toFixed(2);
    report("pgbench -S -M prepared, 16 clients, over TLS", [
      ...[ours, theirs, floor].flatMap((target) => [
        { what: target.name, measured: rates(tpsOf(runs(target))), reach: "-" },
        {
          what: "processor per transaction",
          measured: microseconds(cpuOf(runs(target))),
          reach: "-",
        },
      ]),
      { what: "gateway / PgBouncer, rate", measured: beside.toFixed(2), reach: ">= 0.70" },
      { what: "gateway / PgBouncer, processor", measured: share(theirs), reach: "-" },
      { what: "gateway / bare relay of Node, processor", measured: share(floor), reach: "-" },
    ]);
    expect(runs(ours)).toHaveLength(ROUNDS);
  });
});
