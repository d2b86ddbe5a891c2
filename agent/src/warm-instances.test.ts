import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { newId, silent, sleep } from "@aerodb/runtime";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeHost } from "./drivers/fake-host.ts";
import { WarmInstances, type WarmPorts, type WarmShape } from "./warm-instances.ts";

const SMALL: WarmShape = {
  engineMajor: 18,
  maxConnections: 20,
  memoryMiB: 256,
  cpuMillis: 250,
  storageMiB: 0,
  pidsLimit: 0,
};
const LARGE: WarmShape = { ...SMALL, memoryMiB: 1_024 };

let folder: string;
let host: FakeHost;
let running: AbortController;
const desired = new Set<InstanceId>();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "warm-"));
  host = new FakeHost({ room: 10 });
  running = new AbortController();
  desired.clear();
});

afterEach(() => {
  running.abort();
  rmSync(folder, { recursive: true });
});

async function agent(change: Partial<WarmPorts> = {}): Promise<WarmInstances> {
  const warm = new WarmInstances({
    file: join(folder, "warm.json"),
    driver: host,
    isDesired: (id) => desired.has(id),
    prepare: async () => undefined,
    isBusy: () => false,
    hasRoom: () => true,
    changed: () => undefined,
    logger: silent,
    signal: running.signal,
    ...change,
  });
  await warm.start(await host.list());
  return warm;
}

/** The agent ends as if killed; what it left on the host stays. */
async function die(warm: WarmInstances): Promise<void> {
  running.abort();
  await warm.idle();
  running = new AbortController();
}

function kept(count: number) {
  return vi.waitFor(() => expect(Object.keys(host.contents)).toHaveLength(count), 5_000);
}

test("what the policy asks for runs, and one that is given away is replaced", async () => {
  const warm = await agent();
  warm.follow([{ shape: SMALL, count: 2 }]);
  await vi.waitFor(() => expect(warm.ready).toHaveLength(2), 5_000);
  const [first] = warm.ready;
  const id = first?.spec.id ?? newId("ins");
  desired.add(id);
  expect(warm.give(id)?.running).toBe(first?.running);
  expect(warm.give(id)).toBeUndefined();
  expect(warm.holds(id)).toBe(false);
  await vi.waitFor(() => expect(warm.ready).toHaveLength(2), 5_000);
  await kept(3);
  expect(host.contents[id]).toEqual({ runs: true, tenants: [] });
});

test("another policy replaces what was kept for the one before", async () => {
  const warm = await agent();
  warm.follow([{ shape: SMALL, count: 1 }]);
  await vi.waitFor(() => expect(warm.ready).toHaveLength(1), 5_000);
  warm.follow([{ shape: LARGE, count: 1 }]);
  await vi.waitFor(() => expect(warm.ready.map(({ spec }) => spec.memoryMiB)).toEqual([1_024]));
  await kept(1);
});

test("where memory is short none is made, and those that wait are given up", async () => {
  let room = true;
  const warm = await agent({ hasRoom: () => room });
  warm.follow([{ shape: SMALL, count: 2 }]);
  await vi.waitFor(() => expect(warm.ready).toHaveLength(2), 5_000);
  room = false;
  warm.follow([{ shape: SMALL, count: 2 }]);
  await kept(0);
  expect(warm.ready).toEqual([]);
});

test("while somebody waits for an instance none is made ahead", async () => {
  let busy = true;
  const warm = await agent({ isBusy: () => busy });
  warm.follow([{ shape: SMALL, count: 1 }]);
  await sleep(600);
  expect(warm.ready).toEqual([]);
  busy = false;
  await vi.waitFor(() => expect(warm.ready).toHaveLength(1), 5_000);
});

test("each is prepared before it can be given away, those of an earlier agent too", async () => {
  const prepared: InstanceId[] = [];
  let warm: WarmInstances | undefined;
  const prepare: WarmPorts["prepare"] = async ({ id }) => {
    await sleep(20);
    expect(warm?.ready.map(({ spec }) => spec.id) ?? []).not.toContain(id);
    prepared.push(id);
  };
  warm = await agent({ prepare });
  warm.follow([{ shape: SMALL, count: 1 }]);
  await vi.waitFor(() => expect(warm?.ready).toHaveLength(1), 5_000);
  const [id] = warm.ready.map(({ spec }) => spec.id);
  await die(warm);
  warm = undefined;
  const after = await agent({ prepare });
  expect(after.ready.map(({ spec }) => spec.id)).toEqual([id]);
  expect(prepared).toEqual([id, id]);
});

test("an agent takes over what runs, and removes what a dead one left that does not", async () => {
  const before = await agent();
  before.follow([{ shape: SMALL, count: 2 }]);
  await vi.waitFor(() => expect(before.ready).toHaveLength(2), 5_000);
  const [stays, ends] = before.ready.map(({ spec }) => spec.id);
  await die(before);
  if (ends !== undefined) host.kill(ends);

  const after = await agent();
  expect(after.ready.map(({ spec }) => spec.id)).toEqual([stays]);
  after.follow([{ shape: SMALL, count: 1 }]);
  await kept(1);
});

test("what control asked for while the agent was away is a tenant's, and left alone", async () => {
  const before = await agent();
  before.follow([{ shape: SMALL, count: 1 }]);
  await vi.waitFor(() => expect(before.ready).toHaveLength(1), 5_000);
  const id = before.ready[0]?.spec.id ?? newId("ins");
  await die(before);
  desired.add(id);

  const after = await agent();
  after.follow([]);
  await sleep(100);
  expect(after.holds(id)).toBe(false);
  expect(host.contents[id]).toEqual({ runs: true, tenants: [] });
});

test("a server that ends by itself is not offered any more", async () => {
  const warm = await agent();
  warm.follow([{ shape: SMALL, count: 1 }]);
  await vi.waitFor(() => expect(warm.ready).toHaveLength(1), 5_000);
  const id = warm.ready[0]?.spec.id ?? newId("ins");
  host.kill(id);
  await vi.waitFor(() => expect(warm.ready.some(({ spec }) => spec.id === id)).toBe(false));
  await vi.waitFor(() => expect(warm.ready).toHaveLength(1), 5_000);
  await kept(1);
});

test("an agent that dies at any half step leaves nothing that the next does not find", async () => {
  for (let halfSteps = 0; halfSteps < 8; halfSteps += 1) {
    host = new FakeHost({ room: 10 });
    const dying = await agent();
    host.dieAfter(halfSteps);
    dying.follow([{ shape: SMALL, count: 1 }]);
    await sleep(20);
    await die(dying);
    host.dieAfter(Number.POSITIVE_INFINITY);

    const next = await agent();
    next.follow([]);
    await kept(0);
    await die(next);
  }
});
