/** Many bytes one way: COPY to a client that throws them away. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { p50, report, timed } from "../figures.ts";
import { peersMissing } from "./peers.ts";
import { inTurns, ROUNDS, turnRatio } from "./turns.ts";
import { type Target, WireStage } from "./wire-stage.ts";

const MB = 1_000_000;
const COPIED_MB = Number(process.env["BENCH_COPY_MB"] ?? 200);
const ROW_BYTES = 1_000;
const SECOND_MS = 1_000;

describe.skipIf(peersMissing())("COPY out", () => {
  let stage: WireStage;
  beforeAll(async () => {
    stage = await WireStage.open();
    const rows = (COPIED_MB * MB) / ROW_BYTES;
    // With the line's end each is as long as it says.
    const filled = `create table filled as
      select repeat('x', ${ROW_BYTES - 1}) from generate_series(1, ${rows})`;
    await stage.runClient(stage.direct, "psql", ["-Xq", "-c", filled, "-c", "vacuum filled"]);
  });
  afterAll(() => stage?.close());

  /** Megabytes a second. */
  async function copy(target: Target): Promise<number> {
    const words = ["-Xq", "-o", "/dev/null", "-c", "copy filled to stdout"];
    const tookMs = await timed(() => stage.runClient(target, "psql", words));
    return COPIED_MB / (tookMs / SECOND_MS);
  }

  test(`${COPIED_MB} MB`, async () => {
    const plain = await stage.gateway();
    const secure = { ...plain, name: "gateway, TLS", tls: true };
    const { session } = await stage.pgBouncer();
    const targets = [stage.direct, plain, secure, session, await stage.haproxy()];
    await inTurns(targets, copy, 1);
    const speeds = await inTurns(targets, copy);
    const reach = new Map<Target, string>([[plain, ">= 0.85"]]);
    report(
      `COPY out of ${COPIED_MB} MB`,
      targets.map((target) => {
        const speed = `${p50(speeds(target)).toFixed(0)} MB/s`;
        const share = turnRatio(speeds(target), speeds(stage.direct)).toFixed(2);
        return {
          what: target.name,
          measured: `${speed}, ${share} of direct`,
          reach: reach.get(target) ?? "-",
        };
      }),
    );
    expect(speeds(plain)).toHaveLength(ROUNDS);
  });
});
