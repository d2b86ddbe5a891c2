import { silent } from "@aerodb/runtime";
import { beforeEach, expect, test } from "vitest";
import type { Subject } from "./desired.ts";
import { FillWatch } from "./fill-watch.ts";
import { HostState } from "./host-state.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import type { HostDisk } from "./storage/host-reserve.ts";
import { MIB } from "./storage/volume.ts";

const limited = sampleInstance({ storageMiB: 100 });
const held = sampleInstance({ storageMiB: 100 });
const free = sampleInstance();
const all = [limited, held, free];
const tenant = sampleTenant(held.spec.id);
const RESERVE = 2_000 * MIB;

let state: HostState;
let usedMiB: number;
let disk: HostDisk | Error;
let looked: Subject[];
let turns: boolean[];
let watch: FillWatch;
/** The volume of `held`. */
let volume: { freeMiB: number; ballast: boolean; idle: boolean };

beforeEach(() => {
  state = new HostState();
  state.desire({ instances: all, tenants: [tenant] });
  for (const { spec } of all) {
    const walls = spec === held.spec ? ["storage:loop"] : [];
    const exited = new Promise<void>(() => undefined);
    const running = { id: spec.id, pid: 1, socketDirectory: "", engine: "18.4" };
    state.started({ ...running, systemIdentifier: 1n, walls, exited }, true);
  }
  volume = { freeMiB: 50, ballast: true, idle: false };
  [usedMiB, disk, looked] = [10, { freeBytes: 9_000 * MIB, reserveBytes: RESERVE }, []];
  turns = [];
  watch = new FillWatch({
    state,
    driver: {
      storageBytes: async () => BigInt(usedMiB * MIB),
      volumeFreeBytes: async (id) => (id === held.spec.id ? volume.freeMiB * MIB : undefined),
      releaseBallast: async () => {
        volume.ballast = false;
        return 16 * MIB;
      },
      restoreBallast: async () => {
        volume.ballast = true;
        return true;
      },
    },
    isIdle: () => volume.idle,
    hostDisk: async () => {
      if (disk instanceof Error) throw disk;
      return disk;
    },
    look: (subject) => void looked.push(subject),
    hostTurned: () => void turns.push(watch.hostIsFull),
    logger: silent,
  });
});

function readOnly(): readonly (string | undefined)[] {
  return all.map(({ spec }) => state.instance(spec.id)?.spec.readOnly);
}

test("nothing is read-only while there is room, and nobody is looked at", async () => {
  await watch.checkHost();
  await watch.checkInstances();
  expect(readOnly()).toEqual([undefined, undefined, undefined]);
  expect([looked, turns]).toEqual([[], []]);
});

test("one over a limit that nothing holds is, until it is clearly under it", async () => {
  usedMiB = 100;
  await watch.checkInstances();
  await watch.checkInstances();
  const reason = expect.stringMatching(/^Read-only: .* 100 MiB of its plan.* larger plan\.$/);
  expect(readOnly()).toEqual([reason, undefined, undefined]);
  expect(looked).toEqual([{ kind: "instance", id: limited.spec.id }]);
  usedMiB = 96;
  await watch.checkInstances();
  expect(readOnly()).toEqual([reason, undefined, undefined]);
  usedMiB = 94;
  await watch.checkInstances();
  expect(readOnly()).toEqual([undefined, undefined, undefined]);
});

test("one whose server went down meanwhile comes back read-only", async () => {
  usedMiB = 100;
  await watch.checkInstances();
  state.stopped(limited.spec.id);
  await watch.checkInstances();
  expect(readOnly()).toEqual([expect.stringMatching(/^Read-only/), undefined, undefined]);
});

test("a larger plan ends it", async () => {
  usedMiB = 100;
  await watch.checkInstances();
  state.desire({ instances: [sampleInstance({ ...limited.spec, storageMiB: 200 })], tenants: [] });
  await watch.checkInstances();
  expect(readOnly()).toEqual([undefined, undefined, undefined]);
});

test("all are while the host's reserve is begun, and those that come meanwhile", async () => {
  disk = { freeBytes: 0, reserveBytes: RESERVE };
  await watch.checkHost();
  const reason = expect.stringMatching(/^Read-only: the disk of its host/);
  expect(readOnly()).toEqual([reason, reason, reason]);
  const late = sampleInstance();
  state.desire({ instances: [late], tenants: [] });
  disk = { freeBytes: RESERVE / 5, reserveBytes: RESERVE };
  await watch.checkHost();
  expect(state.instance(late.spec.id)?.spec.readOnly).toEqual(reason);
  disk = new Error("gone");
  await watch.checkHost();
  expect(readOnly()).toEqual([reason, reason, reason]);
  disk = { freeBytes: RESERVE / 3, reserveBytes: RESERVE };
  await watch.checkHost();
  expect(readOnly()).toEqual([undefined, undefined, undefined]);
  // Told when it turned, however often it was looked at.
  await watch.checkHost();
  expect(turns).toEqual([true, false]);
});

test("half of a reserve gone refuses all writes, until the disk has room again", async () => {
  disk = { freeBytes: -RESERVE / 4, reserveBytes: RESERVE };
  await watch.checkHost();
  expect(state.tenant(tenant.tenantId)?.writesRefused).toBe(false);
  disk = { freeBytes: -RESERVE / 2, reserveBytes: RESERVE };
  await watch.checkHost();
  expect(state.tenant(tenant.tenantId)?.writesRefused).toBe(true);
  expect(looked).toContainEqual({ kind: "tenant", id: tenant.tenantId });
  disk = { freeBytes: RESERVE / 5, reserveBytes: RESERVE };
  await watch.checkHost();
  expect(state.tenant(tenant.tenantId)?.writesRefused).toBe(true);
  disk = { freeBytes: RESERVE / 3, reserveBytes: RESERVE };
  await watch.checkHost();
  expect(state.tenant(tenant.tenantId)?.writesRefused).toBe(false);
});

function refusal(): string | undefined {
  return state.instance(held.spec.id)?.spec.writesRefused;
}

function listed(change: { readonly writesRefused: boolean }): void {
  const running = state.seen(held.spec.id)?.running;
  if (running !== undefined) state.ensured(running, { ...tenant, ...change });
}

test("a full volume gives its ballast once its tenant's writes are refused", async () => {
  listed({ writesRefused: false });
  await watch.checkVolumes();
  expect(refusal()).toBeUndefined();
  volume.freeMiB = 1;
  await watch.checkVolumes();
  expect(refusal()).toMatch(/^Read-only: its data fills the 100 MiB of its plan/);
  expect(looked).toEqual([
    { kind: "instance", id: held.spec.id },
    { kind: "tenant", id: tenant.tenantId },
  ]);
  await watch.checkVolumes();
  expect(volume.ballast).toBe(true);
  listed({ writesRefused: true });
  await watch.checkVolumes();
  expect(volume.ballast).toBe(false);
  volume.freeMiB = 4;
  await watch.checkVolumes();
  expect(volume.ballast).toBe(false);
  volume.freeMiB = 6;
  await watch.checkVolumes();
  expect(volume.ballast).toBe(true);
  expect(refusal()).toBeUndefined();
  expect(state.tenant(tenant.tenantId)?.writesRefused).toBe(false);
});

test("a ballast is given though writes cannot be refused, after a while", async () => {
  volume.freeMiB = 0;
  listed({ writesRefused: false });
  for (let look = 0; look < 10; look += 1) await watch.checkVolumes();
  expect(volume.ballast).toBe(false);
});

test("a ballast that an earlier agent gave is taken back, also of who is idle", async () => {
  [volume.ballast, volume.idle] = [false, true];
  await watch.checkVolumes();
  expect(volume.ballast).toBe(true);
  volume.ballast = false;
  await watch.checkVolumes();
  expect(volume.ballast).toBe(false);
});
