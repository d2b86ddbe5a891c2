/**
 * How fast a database tenant comes into being: handed over by the warm pool, and with the pool
 * empty against the same by hand, on the same file system and in a volume as the plan has it.
 */
import { mkdirSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { connectPlatform } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import { describe, expect, test } from "vitest";
import { EngineShelf } from "../../agent/src/storage/engine-shelf.ts";
import { detectVolumeMeans } from "../../agent/src/storage/volume-means.ts";
import { type Platform, usePlatform } from "../platform.ts";
import { until } from "../until.ts";
import { agentDirectory } from "./bare-instance.ts";
import { makeByHand, removeByHand, startByHand } from "./by-hand.ts";
import { distribution, ms, p50, ratio, report, timed } from "./figures.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 20);
/** What the one makes ahead or writes back must not slow down the other. */
const PAUSE_MS = 1_500;
const WARM = 2;
/** Storage of the plan `pro`. */
const VOLUME_MIB = 102_400;

function rootPassword(platform: Platform): string {
  return readFileSync(join(agentDirectory(platform), "root-password"), "utf8").trim();
}

describe("with instances kept ready", () => {
  const platform = usePlatform({
    ownEngines: true,
    environment: { AERODB_WARM_INSTANCES: `${WARM}` },
  });

  /** Waits until the pool is full: so many servers, those of the tenants counted. */
  async function refilled(tenants: number): Promise<void> {
    const servers = tenants + WARM;
    await until("the pool to be full", () => platform().pieces().instances.size >= servers, 60_000);
    await sleep(PAUSE_MS);
  }

  test("database tenants", { timeout: 600_000 }, async () => {
    const creates: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await refilled(round);
      const name = `warm-${round}`;
      creates.push(await timed(() => platform().createTenant({ name, plan: "pro" })));
    }
    report("Database tenants from the warm pool", [
      {
        what: "POST to 201, one at a time",
        measured: distribution(creates),
        reach: "p50 <= 60 ms, p99 <= 250 ms",
      },
    ]);
    expect(creates).toHaveLength(ROUNDS);
  });
});

describe("with none kept ready", () => {
  const platform = usePlatform({ ownEngines: true });

  async function byHand(directory: string, volumeMiB: number, into: number[]): Promise<void> {
    const engines = realpathSync(join(platform().home, "state", "engines"));
    const password = rootPassword(platform());
    const shelf = new EngineShelf({ directory: engines, search: {}, rootPassword: password });
    const ready = await shelf.ready(18);
    let end = async (): Promise<void> => undefined;
    const tookMs = await timed(async () => {
      const made = await makeByHand({ ready, directory, volumeMiB });
      const server = await startByHand(made);
      end = async () => {
        await server.stop("immediate");
        await removeByHand(made);
      };
      const client = await connectPlatform({ socketDirectory: made.socketDirectory, password });
      await client.query("select 1");
      await client.end();
    });
    into.push(tookMs);
    await end();
  }

  test("database tenants", { timeout: 600_000 }, async () => {
    const place = join(realpathSync(join(platform().home, "state")), "by-hand");
    mkdirSync(place, { mode: 0o711 });
    const { hardLimits } = await detectVolumeMeans(place);
    const volumeMiB = hardLimits.includes("loop") ? VOLUME_MIB : 0;
    const [creates, bursts, hands]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep(PAUSE_MS);
      const names = [`ahead-${round}`, `empty-${round}`];
      for (const [at, name] of names.entries()) {
        const into = at === 0 ? creates : bursts;
        into.push(await timed(() => platform().createTenant({ name, plan: "pro" })));
      }
      await sleep(PAUSE_MS);
      await byHand(join(place, `${round}`), volumeMiB, hands);
    }
    report("Database tenants, the pool empty", [
      { what: "POST to 201, a clone made ahead", measured: distribution(creates), reach: "-" },
      { what: "POST to 201, right after that", measured: distribution(bursts), reach: "-" },
      {
        what: `by hand, ${volumeMiB === 0 ? "no volume" : "in a volume"}`,
        measured: distribution(hands),
        reach: "-",
      },
      { what: "ratio, a clone made ahead", measured: ratio(creates, hands), reach: "<= 1.4" },
      { what: "ratio, right after that", measured: ratio(bursts, hands), reach: "<= 1.4" },
      { what: "over by hand, p50", measured: ms(p50(bursts) - p50(hands)), reach: "-" },
    ]);
    expect(readdirSync(place)).toEqual([]);
  });
});
