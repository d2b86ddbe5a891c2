/** What is true of every driver, the fake included. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { sampleSpec } from "../../../agent/src/sample-spec.ts";
import type { DriverHost } from "./driver-host.ts";

/** In a group of tests, where it is what the group is about. */
type Given<Host> = () => Host;

const signal = AbortSignal.timeout(600_000);

/** Runs the contract over a driver; returns the host for what is true of this driver only. */
export function describeDriver<Host extends DriverHost>(
  name: string,
  options: {
    readonly setUp: () => Promise<Host>;
    readonly tearDown?: () => Promise<void>;
    readonly missing?: string | undefined;
  },
  more: (host: Given<Host>) => void = () => undefined,
): void {
  const { missing, setUp, tearDown } = options;
  const title = missing === undefined ? name : `${name} (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(title, () => {
    let host: Host;
    beforeAll(async () => {
      host = await setUp();
    });
    afterAll(async () => {
      await host?.close();
      await tearDown?.();
    });
    afterEach(() => removeAll(host));
    lives(() => host);
    endings(() => host);
    surroundings(() => host);
    more(() => host);
  });
}

/** What a test leaves is not to be met by the next, whether it passed or not. */
async function removeAll(host: DriverHost): Promise<void> {
  const driver = await host.next();
  for (const { id } of await driver.list()) {
    await driver.stop(id, "immediate");
    await driver.destroy(id);
  }
}

function lives(host: Given<DriverHost>): void {
  test("an instance is made, runs, stops and is gone, and each step may be repeated", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    for (const _ of [1, 2]) await driver.make(spec, signal);
    expect(await driver.list()).toContainEqual({ id: spec.id, running: undefined });

    const running = await driver.start(spec, signal);
    expect(running).toMatchObject({ id: spec.id, engine: expect.stringMatching(/^18\.\d+$/) });
    expect(await driver.start(spec, signal)).toMatchObject({ pid: running.pid });
    expect(await driver.storageBytes(spec.id)).toBeGreaterThan(1_000_000n);

    for (const _ of [1, 2]) await driver.stop(spec.id, "fast");
    await running.exited;
    for (const _ of [1, 2]) await driver.destroy(spec.id);
    expect((await driver.list()).map(({ id }) => id)).not.toContain(spec.id);
    expect(await driver.storageBytes(spec.id)).toBeUndefined();
  });

  test("an agent that comes later adopts what runs, and starts no second server", async () => {
    const spec = sampleSpec();
    const first = await host().next();
    await first.make(spec, signal);
    const { pid, systemIdentifier, socketDirectory } = await first.start(spec, signal);

    const second = await host().next();
    const found = (await second.list()).find(({ id }) => id === spec.id);
    expect(found?.running).toMatchObject({ pid, systemIdentifier, socketDirectory });
    expect(await second.start(spec, signal)).toMatchObject({ pid, systemIdentifier });
    await second.stop(spec.id, "immediate");
    await found?.running?.exited;
  });

  test("an instance that was stopped runs again, as the same instance", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    await driver.start(spec, signal);
    await driver.stop(spec.id, "fast");
    expect(await driver.list()).toContainEqual({ id: spec.id, running: undefined });
    const { pid } = await driver.start(spec, signal);
    const found = (await driver.list()).find(({ id }) => id === spec.id);
    expect(found?.running).toMatchObject({ pid });
  });
}

function endings(host: Given<DriverHost>): void {
  test("a server that was killed is noticed, and can be started again at once", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    host().kill(running);
    await running.exited;
    expect(await driver.lastWords(spec.id, 60_000)).not.toBe("");
    // What it said before is not why it ended.
    expect(await driver.lastWords(spec.id, 0)).toBe("");
    const again = await driver.start(spec, signal);
    expect(again.pid).not.toBe(running.pid);
  });

  test("an instance whose server runs is not destroyed", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    await expect(driver.destroy(spec.id)).rejects.toThrow(spec.id);
    const found = (await driver.list()).find(({ id }) => id === spec.id);
    expect(found?.running).toMatchObject({ pid: running.pid });
  });

  test("what is not there is stopped and destroyed already, and cannot be started", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.stop(spec.id, "fast");
    await driver.destroy(spec.id);
    await expect(driver.start(spec, signal)).rejects.toThrow();
    expect((await driver.list()).map(({ id }) => id)).not.toContain(spec.id);
  });
}

function surroundings(host: Given<DriverHost>): void {
  test("a neighbour runs on, whatever happens to an instance", async () => {
    const driver = await host().next();
    const [neighbour, spec] = [sampleSpec(), sampleSpec()];
    for (const each of [neighbour, spec]) await driver.make(each, signal);
    const before = await driver.start(neighbour, signal);
    host().kill(await driver.start(spec, signal));
    await driver.start(spec, signal);
    await driver.stop(spec.id, "immediate");
    await driver.destroy(spec.id);

    const found = (await (await host().next()).list()).find(({ id }) => id === neighbour.id);
    expect(found?.running).toMatchObject({ pid: before.pid });
  });

  test("a survey finds every instance with its server, and nothing astray", async () => {
    const driver = await host().next();
    const [up, down] = [sampleSpec(), sampleSpec()];
    for (const spec of [up, down]) await driver.make(spec, signal);
    const { pid } = await driver.start(up, signal);
    const survey = await driver.survey();
    expect(survey.instances).toContainEqual({ id: up.id, postmasterPid: pid });
    expect(survey.instances).toContainEqual({ id: down.id, postmasterPid: 0 });
    expect(survey).toMatchObject({ strayProcesses: [], strayPaths: [] });
  });

  test("a running server gets new limits and stays the same server", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const larger = sampleSpec({ ...spec, cpuMillis: 1_000, memoryMiB: 256, pidsLimit: 200 });
    for (const _ of [1, 2]) expect(await driver.resize(running, larger)).toEqual([]);
    expect(await driver.start(larger, signal)).toMatchObject({ pid: running.pid });
  });
}
