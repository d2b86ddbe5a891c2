import { silent } from "@aerodb/runtime";
import { beforeEach, expect, test } from "vitest";
import type { Subject } from "./desired.ts";
import { FillWatch } from "./fill-watch.ts";
import { HostState } from "./host-state.ts";
import { sampleInstance } from "./sample-desired.ts";
import type { HostDisk } from "./storage/host-reserve.ts";
import { MIB } from "./storage/volume.ts";

const limited = sampleInstance({ storageMiB: 100 });
const held = sampleInstance({ storageMiB: 100 });
const free = sampleInstance();
const all = [limited, held, free];
const RESERVE = 2_000 * MIB;

let state: HostState;
let usedMiB: number;
let disk: HostDisk | Error;
let looked: Subject[];
let watch: FillWatch;

beforeEach(() => {
  state = new HostState();
  state.desire({ instances: all, tenants: [] });
  for (const { spec } of all) {
    const walls = spec === held.spec ? ["storage:loop"] : [];
    const exited = new Promise<void>(() => undefined);
    const running = { id: spec.id, pid: 1, socketDirectory: "", engine: "18.4" };
    state.started({ ...running, systemIdentifier: 1n, walls, exited }, true);
  }
  [usedMiB, disk, looked] = [10, { freeBytes: 9_000 * MIB, reserveBytes: RESERVE }, []];
  watch = new FillWatch({
    state,
    driver: { storageBytes: async () => BigInt(usedMiB * MIB) },
    hostDisk: async () => {
      if (disk instanceof Error) throw disk;
      return disk;
    },
    look: (subject) => void looked.push(subject),
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
  expect(looked).toEqual([]);
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
});
