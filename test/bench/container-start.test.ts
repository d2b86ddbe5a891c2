/** How fast a container serves, against the same made and started by hand on the same Docker. */
import { statSync } from "node:fs";
import { connectPlatform } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceDriver } from "../../agent/src/drivers/driver.ts";
import type { InstanceSpec } from "../../agent/src/instance-spec.ts";
import { sampleSpec } from "../../agent/src/sample-spec.ts";
import { RealDriverHost } from "../contract/driver/driver-host.ts";
import { dockerMissing, ThrowawayDocker } from "../contract/driver/throwaway-docker.ts";
import { distribution, p50, report, timed } from "./figures.ts";

const ROUNDS = 15;
const PAUSE_MS = 300;
const FIRST_PAUSE_MS = 3;
const signal = AbortSignal.timeout(600_000);

let docker: ThrowawayDocker;
let host: RealDriverHost;
let driver: InstanceDriver;

/** An instance that has been started once, so that all it needs is on disk. */
async function prepared(): Promise<InstanceSpec> {
  const spec = sampleSpec({ cpuMillis: 1_000, memoryMiB: 256 });
  await driver.make(spec, signal);
  await driver.start(spec, signal);
  await driver.stop(spec.id, "fast");
  return spec;
}

/** Tries until a query is answered, as somebody without a driver would. */
async function answer(socketDirectory: string): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.2, 100)) {
    try {
      const client = await connectPlatform({
        socketDirectory,
        password: host.recipe.rootPassword,
      });
      await client.query("select 1");
      return await client.end();
    } catch {
      await sleep(pauseMs, signal);
    }
  }
}

/** Makes and starts a container with the same image and limits; returns how to end it. */
async function byHand(spec: InstanceSpec): Promise<() => Promise<void>> {
  const place = host.place(spec);
  const { uid } = statSync(place.data);
  const [image] = await docker.client.listImages();
  const mount = (path: string) => ({ Type: "bind" as const, Source: path, Target: path });
  const container = await docker.client.createContainer({
    Image: image?.Id ?? "",
    User: `${uid}:${uid}`,
    Cmd: ["postgres", "-D", place.data, "-k", place.socketDirectory],
    Env: ["LC_ALL=C", "TZ=UTC"],
    HostConfig: {
      NetworkMode: "none",
      CapDrop: ["ALL"],
      ReadonlyRootfs: true,
      Tmpfs: { "/tmp": "" },
      Memory: 320 * 2 ** 20,
      CpuPeriod: 100_000,
      CpuQuota: 200_000,
      PidsLimit: 100,
      Mounts: [place.data, place.socketDirectory, place.files].map(mount),
    },
  });
  await container.start();
  await answer(place.socketDirectory);
  return async () => {
    await container.kill({ signal: "SIGINT" });
    await container.wait();
    await container.remove();
  };
}

describe.skipIf(dockerMissing() !== undefined)("containers", () => {
  beforeAll(async () => {
    docker = await ThrowawayDocker.start();
    const { socketPath: dockerSocket } = docker;
    host = await RealDriverHost.open({ kind: "container", uidBase: 65_300_000, dockerSocket });
    driver = await host.next();
  });

  afterAll(async () => {
    for (const { id } of await driver.list()) await driver.stop(id, "immediate");
    await host.close();
    await docker.close();
  });

  test("create and start until a query is answered", { timeout: 500_000 }, async () => {
    const [ours, theirs] = [await prepared(), await prepared()];
    const driven: number[] = [];
    const hands: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep(PAUSE_MS);
      driven.push(
        await timed(async () => answer((await driver.start(ours, signal)).socketDirectory)),
      );
      await driver.stop(ours.id, "fast");
      await sleep(PAUSE_MS);
      let end: (() => Promise<void>) | undefined;
      hands.push(
        await timed(async () => {
          end = await byHand(theirs);
        }),
      );
      await end?.();
    }
    report("Containers", [
      { what: "by the driver", measured: distribution(driven), reach: "-" },
      { what: "by hand with dockerode", measured: distribution(hands), reach: "-" },
      {
        what: "ratio of the two, p50",
        measured: (p50(driven) / p50(hands)).toFixed(2),
        reach: "<= 1.3",
      },
    ]);
    expect(hands.length).toBe(ROUNDS);
  });
});
