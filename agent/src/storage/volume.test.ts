import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, statfs, symlink, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { canChangeOwner } from "@aerodb/postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { BTRFS_VOLUMES } from "./btrfs-volume.ts";
import { LOOP_VOLUMES } from "./loop-volume.ts";
import { isMounted, loopDeviceOf, mountsUnder, unmountUnder } from "./mounts.ts";
import { runProgram } from "./run-program.ts";
import {
  devicesUnder,
  lacks,
  type ThrowawayFileSystem,
  throwawayFileSystem,
} from "./throwaway-file-system.ts";
import { MIB, openFolders, type VolumePlace, volumePlaceOf } from "./volume.ts";
import { detectVolumeMeans } from "./volume-means.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const CASES = [
  { maker: LOOP_VOLUMES, on: "plain" },
  { maker: LOOP_VOLUMES, on: "xfs" },
  { maker: LOOP_VOLUMES, on: "btrfs" },
  { maker: BTRFS_VOLUMES, on: "btrfs" },
] as const;
const TYPES = ["plain", "xfs", "btrfs"] as const;
const LACKS = new Map(await Promise.all(TYPES.map(async (on) => [on, await lacks(on)] as const)));
const OWNER = canChangeOwner() ? { uid: 61_234, gid: 61_234 } : undefined;

/** Why a means cannot be tried on a file system here. */
async function lacking(on: (typeof TYPES)[number], name: string): Promise<string | undefined> {
  const lack = LACKS.get(on);
  if (lack !== undefined || name === "btrfs") return lack;
  const fileSystem = await throwawayFileSystem(on);
  const { hardLimits } = await detectVolumeMeans(fileSystem.directory);
  await fileSystem.remove();
  return hardLimits.includes("loop")
    ? undefined
    : "no loop volumes here: they need root and mkfs.xfs";
}

for (const { maker, on } of CASES) {
  const lack = await lacking(on, maker.name);
  describe.skipIf(lack)(`${maker.name} volumes on ${on}${lack ? ` (${lack})` : ""}`, () => {
    let fileSystem: ThrowawayFileSystem;
    let place: VolumePlace;

    beforeAll(async () => {
      fileSystem = await throwawayFileSystem(on);
    });
    afterAll(() => fileSystem.remove());
    beforeEach(async () => {
      const space = join(fileSystem.directory, "space");
      await mkdir(space);
      place = volumePlaceOf(space);
    });
    afterEach(async () => {
      await maker.remove(place);
      await rm(join(fileSystem.directory, "space"), { recursive: true });
    });

    async function write(name: string, mib: number): Promise<void> {
      await writeFile(join(place.files, name), Buffer.alloc(mib * MIB, 7), { flush: true });
    }

    async function make(mib: number): Promise<void> {
      await maker.make(place, mib * MIB);
      await openFolders(place, OWNER);
    }

    test("holds what it was made for and not more, and files in it are its user's", async () => {
      await make(50);
      expect((await stat(place.files)).uid).toBe(OWNER?.uid ?? process.geteuid?.());
      await write("fits", 45);
      await expect(write("too-much", 12)).rejects.toMatchObject({
        errno: expect.toBeOneOf([-constants.errno.ENOSPC, -constants.errno.EDQUOT]),
      });
      expect(await maker.freeBytes(place, 50 * MIB)).toBeLessThan(6 * MIB);
    });

    test("is grown while it is used, and tells what is free", async () => {
      await make(40);
      await write("first", 30);
      await maker.grow(place, 400 * MIB);
      await maker.grow(place, 400 * MIB);
      const free = await maker.freeBytes(place, 400 * MIB);
      expect(free).toBeGreaterThan(360 * MIB);
      expect(free).toBeLessThan(371 * MIB);
      await write("second", 300);
    });

    test("its ballast gives room when it is full, and is taken back", async () => {
      await make(40);
      await write("most", 38);
      await write("rest", 8).catch(() => undefined);
      expect(await maker.takeBallast(place, 40 * MIB)).toBe(maker.name === "loop");
      expect(await maker.dropBallast(place, 40 * MIB)).toBeGreaterThanOrEqual(15 * MIB);
      await maker.dropBallast(place, 40 * MIB);
      await write("more", 8);
      // What the ballast gave is nobody's to fill.
      expect(await maker.freeBytes(place, 40 * MIB)).toBeLessThan(3 * MIB);
      for (const name of await readdir(place.files)) await rm(join(place.files, name));
      // What was removed is free a moment later.
      await expect.poll(() => maker.takeBallast(place, 40 * MIB), { timeout: 10_000 }).toBe(true);
      expect(await maker.takeBallast(place, 40 * MIB)).toBe(true);
      await expect(write("again", 52)).rejects.toThrow();
    });

    test("is opened again after a restart of the machine, with what was in it", async () => {
      await make(40);
      await write("kept", 3);
      await unmountUnder(join(place.volume, ".."));
      await maker.open(place);
      await maker.open(place);
      expect((await stat(join(place.files, "kept"))).size).toBe(3 * MIB);
    });

    test("making and removing it again leaves nothing", async () => {
      await make(40);
      await make(60);
      expect(await readdir(place.files)).toEqual([]);
      await maker.remove(place);
      await maker.remove(place);
      expect(await readdir(join(place.volume, ".."))).toEqual([]);
      expect(await mountsUnder(fileSystem.directory)).toEqual([]);
      // The kernel keeps a device that somebody has just looked at until they have.
      await expect.poll(() => devicesUnder(fileSystem.directory)).toEqual([]);
    });
  });
}

describe.skipIf(await lacking("plain", "loop"))("loop volumes", () => {
  let fileSystem: ThrowawayFileSystem;
  let place: VolumePlace;
  beforeEach(async () => {
    fileSystem = await throwawayFileSystem("plain");
    place = volumePlaceOf(fileSystem.directory);
    await LOOP_VOLUMES.make(place, 40 * MIB);
  });
  afterEach(async () => {
    await LOOP_VOLUMES.remove(place);
    await fileSystem.remove();
  });

  test("an image that is a device already gets no second one", async () => {
    await unmountUnder(fileSystem.directory);
    await runProgram("losetup", ["--find", place.image]);
    const device = await loopDeviceOf(place.image);
    await LOOP_VOLUMES.open(place);
    expect(await isMounted(place.volume)).toBe(true);
    expect(await devicesUnder(fileSystem.directory)).toEqual([place.image]);
    expect(await loopDeviceOf(place.image)).toEqual(device);
  });

  test("an image that is not there, or is none, is said", async () => {
    await unmountUnder(fileSystem.directory);
    const aside = `${place.image}-aside`;
    await rename(place.image, aside);
    await expect(LOOP_VOLUMES.open(place)).rejects.toThrow(/volume.img is missing, .* put it back/);
    await symlink(aside, place.image);
    await expect(LOOP_VOLUMES.open(place)).rejects.toThrow(/volume.img is no file/);
    await rm(place.image);
    await rename(aside, place.image);
    await LOOP_VOLUMES.open(place);
  });

  test("a device that somebody left is freed with its volume", async () => {
    await unmountUnder(fileSystem.directory);
    await runProgram("losetup", ["--find", place.image]);
    await LOOP_VOLUMES.remove(place);
    expect(await devicesUnder(fileSystem.directory)).toEqual([]);
    expect(existsSync(place.image)).toBe(false);
  });
});

for (const on of TYPES) {
  test.skipIf(LACKS.get(on))(`what a host can do is found out by trying, on ${on}`, async () => {
    const fileSystem = await throwawayFileSystem(on);
    try {
      const found = await detectVolumeMeans(join(fileSystem.directory, "not", "there", "yet"));
      expect(found.volumeMeans).toContain("copy");
      expect(found.volumeMeans.includes("reflink")).toBe(found.reflink);
      if (on !== "plain") {
        expect(found).toMatchObject({ fileSystem: on, reflink: true });
        expect(found.volumeMeans.includes("btrfs")).toBe(on === "btrfs");
        expect(found.hardLimits.includes("btrfs")).toBe(on === "btrfs");
      }
      expect(await readdir(fileSystem.directory)).toEqual([]);
      expect((await statfs(fileSystem.directory)).bavail).toBeGreaterThan(0);
    } finally {
      await fileSystem.remove();
    }
  });
}
