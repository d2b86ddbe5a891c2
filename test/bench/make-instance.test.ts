/**
 * How fast an instance comes into being on each kind of file system, until a query is answered,
 * against the same by hand: a clone by the same means, chown, configuration and start.
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lacks } from "../../agent/src/storage/throwaway-file-system.ts";
import { BenchHost, type FileSystemType } from "./bench-host.ts";
import {
  type CloneMeans,
  makeByHand,
  makeSeedByHand,
  removeByHand,
  startByHand,
} from "./by-hand.ts";
import { distribution, ratio, report, timed } from "./figures.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 12);
/** What the one makes ahead or writes back must not slow down the other. */
const PAUSE_MS = 1_200;
const run = promisify(execFile);

interface Ground {
  readonly on: FileSystemType;
  readonly means: CloneMeans;
  readonly storageMiB: number;
  readonly lack: string | undefined;
}

const GROUNDS: readonly Ground[] = await Promise.all(
  [
    { on: "plain", means: "cp", storageMiB: 0 } as const,
    { on: "plain", means: "cp", storageMiB: 10_240 } as const,
    { on: "xfs", means: "cp", storageMiB: 0 } as const,
    { on: "btrfs", means: "snapshot", storageMiB: 0 } as const,
  ].map(async (each) => ({
    ...each,
    lack: await lacks(each.storageMiB > 0 ? "xfs" : each.on),
  })),
);

interface Laps {
  /** With a clone that was made ahead, and without. */
  readonly ahead: number[];
  readonly empty: number[];
  readonly hand: number[];
  /** The same by hand, and until it outlasts a power failure, as ours does when it is reported. */
  readonly flushed: number[];
}

describe.each(GROUNDS)("on $on, volume of $storageMiB MiB", ({ on, means, storageMiB, lack }) => {
  let host: BenchHost;

  beforeAll(async () => {
    if (lack === undefined) host = await BenchHost.open(on);
  });
  afterAll(() => host?.close());

  async function ours(into: number[]): Promise<() => Promise<void>> {
    const spec = host.spec({ storageMiB });
    into.push(
      await timed(async () => {
        await host.make(spec);
        await host.ask(await host.start(spec));
      }),
    );
    return () => host.destroy(spec);
  }

  async function theirs(directory: string, laps: Laps): Promise<void> {
    const ready = await host.shelf.ready(18);
    let end = async (): Promise<void> => undefined;
    const tookMs = await timed(async () => {
      const made = await makeByHand({ ready, directory, means, volumeMiB: storageMiB });
      const server = await startByHand(made);
      end = async () => {
        await server.stop("immediate");
        await removeByHand(made);
      };
      await host.ask(made);
    });
    laps.hand.push(tookMs);
    laps.flushed.push(tookMs + (await timed(() => run("sync", ["-f", directory]))));
    await end();
  }

  test.skipIf(lack)("an instance of its own", { timeout: 600_000 }, async () => {
    const laps: Laps = { ahead: [], empty: [], hand: [], flushed: [] };
    const place = join(host.home, "by-hand");
    mkdirSync(place, { mode: 0o711 });
    const ready = await host.shelf.ready(18);
    if (means === "snapshot") await makeSeedByHand(ready, join(place, "first"));
    for (let round = 0; round <= ROUNDS; round += 1) {
      // Nothing was made ahead before the first start.
      const into: Laps = round === 0 ? { ahead: [], empty: [], hand: [], flushed: [] } : laps;
      await sleep(PAUSE_MS);
      const ends = [await ours(into.ahead), await ours(into.empty)];
      for (const end of ends) await end();
      await sleep(PAUSE_MS);
      await theirs(join(place, round.toString()), into);
    }
    report(`An instance on ${on}, ${storageMiB === 0 ? "no volume" : "in a volume"}`, [
      { what: "with a clone made ahead", measured: distribution(laps.ahead), reach: "-" },
      { what: "with none", measured: distribution(laps.empty), reach: "xfs: <= 120 ms" },
      { what: "by hand", measured: distribution(laps.hand), reach: "-" },
      { what: "by hand, and flushed", measured: distribution(laps.flushed), reach: "-" },
      { what: "ratio to by hand, made ahead", measured: ratio(laps.ahead, laps.hand), reach: "-" },
      { what: "ratio, with none", measured: ratio(laps.empty, laps.hand), reach: "<= 1.4" },
      {
        what: "ratio, with none, both flushed",
        measured: ratio(laps.empty, laps.flushed),
        reach: "<= 1.4",
      },
    ]);
    expect(laps.hand).toHaveLength(ROUNDS);
  });
});
