/** How long a running instance's limits take to change, by each driver, and its volume to grow. */
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceDriver } from "../../agent/src/drivers/driver.ts";
import { sampleSpec } from "../../agent/src/sample-spec.ts";
import { detectVolumeMeans } from "../../agent/src/storage/volume-means.ts";
import { RealDriverHost } from "../contract/driver/driver-host.ts";
import type { DriverRecipe } from "../contract/driver/driver-kinds.ts";
import { dockerMissing, ThrowawayDocker } from "../contract/driver/throwaway-docker.ts";
import { distribution, report, timed } from "./figures.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 50);
const PAUSE_MS = 20;
const FIRST_MIB = 400;
const GROWTH_MIB = 64;
const signal = AbortSignal.timeout(600_000);

interface Case {
  readonly kind: DriverRecipe["kind"];
  readonly reach: string;
  readonly uidBase: number;
  readonly lack: string | undefined;
}

const CASES: readonly Case[] = [
  { kind: "process", reach: "<= 20 ms", uidBase: 65_100_000, lack: undefined },
  { kind: "container", reach: "<= 60 ms", uidBase: 65_200_000, lack: dockerMissing() },
];

describe.each(CASES)("the $kind driver", ({ kind, reach, uidBase, lack }) => {
  let docker: ThrowawayDocker | undefined;
  let host: RealDriverHost;
  let driver: InstanceDriver;

  beforeAll(async () => {
    if (lack !== undefined) return;
    if (kind === "container") docker = await ThrowawayDocker.start();
    const dockerSocket = docker?.socketPath ?? "";
    host = await RealDriverHost.open({ kind, uidBase, dockerSocket });
    driver = await host.next();
  });

  afterAll(async () => {
    if (lack !== undefined) return;
    for (const { id } of await driver.list()) {
      await driver.stop(id, "immediate");
      await driver.destroy(id);
    }
    await driver.release();
    await host.close();
    await docker?.close();
  });

  test.skipIf(lack)("changes limits", { timeout: 300_000 }, async () => {
    const { hardLimits } = await detectVolumeMeans(host.recipe.home);
    const storageMiB = hardLimits.length > 0 ? FIRST_MIB : 0;
    let spec = sampleSpec({ storageMiB, cpuMillis: 500, memoryMiB: 256 });
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const [limits, growths]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep(PAUSE_MS);
      const more = round % 2 === 0;
      spec = { ...spec, cpuMillis: more ? 1_000 : 500, memoryMiB: more ? 512 : 256 };
      limits.push(await timed(() => driver.resize(running, spec)));
      if (storageMiB === 0 || round % 5 !== 0) continue;
      spec = { ...spec, storageMiB: spec.storageMiB + GROWTH_MIB };
      growths.push(await timed(() => driver.resize(running, spec)));
    }
    report(`Live resize by the ${kind} driver`, [
      { what: "processor, memory, processes", measured: distribution(limits), reach },
      { what: "a volume grows", measured: distribution(growths), reach: "-" },
    ]);
    expect(limits).toHaveLength(ROUNDS);
  });
});
