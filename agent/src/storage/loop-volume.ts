/**
 * A volume that is an XFS file system in a file. Works as root on any file system, needs no quota
 * support of the kernel, is grown while it is used, and takes no more of the disk than is written
 * to it and its log. XFS cannot shrink.
 */
import { lstat, mkdir, open, rm, stat, statfs, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import { treeDiskBytes } from "./file-sizes.ts";
import { detach, isMounted, loopDeviceOf, unmountUnder } from "./mounts.ts";
import { runProgram, succeeds } from "./run-program.ts";
import {
  BALLAST_BYTES,
  diskBytes,
  exists,
  MIB,
  type VolumeMaker,
  type VolumePlace,
  volumePlaceOf,
} from "./volume.ts";

/** mkfs.xfs refuses to make a smaller one. */
const LEAST_IMAGE_MIB = 300;
/**
 * The log, the blocks that XFS keeps for itself, and one in 64 for what it notes about the rest.
 */
const OVERHEAD_BYTES = (64 + 32) * MIB;
const NOTES_PART = 64;
/** Nobody shares blocks within a volume, and nobody asks it whose a block is. */
const FORMAT = ["-q", "-f", "-m", "reflink=0,rmapbt=0"];
/** What tenants delete is given back to the host's disk; nothing in a volume is ever run. */
const OPTIONS = "noatime,nodev,nosuid,noexec,discard";

export const LOOP_VOLUMES: VolumeMaker = {
  name: "loop",
  make,
  open: mount,
  close: unmount,
  grow,
  freeBytes,
  dropBallast,
  takeBallast,
  remove,
};

async function make(place: VolumePlace, limitBytes: number): Promise<void> {
  await remove(place);
  await format(place.image, limitBytes);
  await failpoint("agent.volume.formatted");
  await mkdir(place.volume, { mode: 0o700 });
  await mount(place);
  await failpoint("agent.volume.mounted");
  await settle(place, limitBytes);
}

async function format(path: string, limitBytes: number): Promise<void> {
  const image = await open(path, "wx", 0o600);
  await image.close();
  // On btrfs each write would move a block of the file. Elsewhere there is no such flag.
  await succeeds(runProgram("chattr", ["+C", path]));
  await truncate(path, imageBytes(limitBytes));
  await failpoint("agent.volume.image");
  await runProgram("mkfs.xfs", [...FORMAT, path]);
}

async function mount(place: VolumePlace): Promise<void> {
  if (await isMounted(place.volume)) return;
  await requireImage(place.image);
  // A file behind two devices would be written by two file systems that know nothing of each other:
  // a mount that another mount namespace holds is joined instead.
  const device = await loopDeviceOf(place.image);
  const what =
    device === undefined ? ["-o", `loop,${OPTIONS}`, place.image] : ["-o", OPTIONS, device.device];
  // The kernel frees the device of a `loop` mount with its last use, whoever dies meanwhile.
  await runProgram("mount", ["-t", "xfs", ...what, place.volume]);
}

/** What a tenant's tables are in may have been lost, or somebody put something in its place. */
async function requireImage(image: string): Promise<void> {
  const about = await lstat(image).catch(() => undefined);
  if (about?.isFile()) return;
  const what = about === undefined ? "is missing" : "is no file";
  throw new Fault(
    "UNAVAILABLE",
    `${image} ${what}, and the tables of its tenants are in it. They are not served: put it ` +
      "back, or delete its tenants.",
  );
}

async function grow(place: VolumePlace, limitBytes: number): Promise<void> {
  await mount(place);
  const device = await loopDeviceOf(place.image);
  if (device === undefined) throw new Fault("UNAVAILABLE", `${place.image} is behind no device.`);
  const image = await open(place.image, "r+");
  try {
    const { size } = await image.stat();
    if (size < imageBytes(limitBytes)) await image.truncate(imageBytes(limitBytes));
  } finally {
    await image.close();
  }
  await failpoint("agent.volume.image-grown");
  await runProgram("losetup", ["--set-capacity", device.device]);
  await failpoint("agent.volume.device-grown");
  await runProgram("xfs_growfs", [place.volume]);
  await failpoint("agent.volume.grown");
  await settle(place, limitBytes);
}

async function freeBytes(place: VolumePlace): Promise<number> {
  const [{ bavail, bsize }, ballast] = await Promise.all([statfs(place.volume), ballastOf(place)]);
  // What the ballast gave up is for deleting, and will be taken back.
  return Math.max(0, bavail * bsize - (ballast.wantedBytes - ballast.presentBytes));
}

/** The size of the file stays, as a note of what it should take. */
async function dropBallast({ ballast }: VolumePlace): Promise<number> {
  const before = await stat(ballast);
  if (before.blocks === 0) return 0;
  await truncate(ballast, 0);
  await truncate(ballast, before.size);
  return diskBytes(before);
}

async function takeBallast(place: VolumePlace): Promise<boolean> {
  const { wantedBytes, presentBytes } = await ballastOf(place);
  if (presentBytes >= wantedBytes) return true;
  if ((await freeBytes(place)) < MIB) return false;
  await setBallast(place, wantedBytes);
  return true;
}

interface Ballast {
  readonly wantedBytes: number;
  readonly presentBytes: number;
}

async function ballastOf(place: VolumePlace): Promise<Ballast> {
  const about = await stat(place.ballast).catch(() => undefined);
  return { wantedBytes: about?.size ?? 0, presentBytes: diskBytes(about) };
}

async function setBallast({ ballast }: VolumePlace, bytes: number): Promise<void> {
  await (await open(ballast, "a", 0o600)).close();
  await truncate(ballast, bytes);
  if (bytes > 0) await runProgram("fallocate", ["--length", bytes.toString(), ballast]);
}

async function unmount(place: VolumePlace): Promise<void> {
  if (await exists(place.volume)) await unmountUnder(join(place.volume, ".."));
}

async function remove(place: VolumePlace): Promise<void> {
  await unmount(place);
  await failpoint("agent.volume.unmounted");
  if (!(await exists(place.image))) {
    await rm(place.volume, { recursive: true, force: true });
    return;
  }
  // Left only where somebody made the device by hand, or a kernel too old to free it.
  const device = await loopDeviceOf(place.image);
  if (device !== undefined) await detach(device);
  await rm(place.volume, { recursive: true, force: true });
  await rm(place.image, { force: true });
}

/** The ballast takes whatever the file system has over the limit, so that the limit is exact. */
async function settle(place: VolumePlace, limitBytes: number): Promise<void> {
  const [{ bavail, bsize }, ballast, tenants] = await Promise.all([
    statfs(place.volume),
    ballastOf(place),
    treeDiskBytes(place.files),
  ]);
  const room = bavail * bsize + ballast.presentBytes + Number(tenants);
  await setBallast(place, Math.max(0, room - limitBytes));
}

function imageBytes(limitBytes: number): number {
  const wanted = limitBytes * (1 + 1 / NOTES_PART) + OVERHEAD_BYTES + BALLAST_BYTES;
  return Math.max(LEAST_IMAGE_MIB, Math.ceil(wanted / MIB)) * MIB;
}

/**
 * Makes one and throws what did not work. It is mounted where nobody else sees it, so that it is
 * closed as the program ends that did it, whoever dies meanwhile.
 */
export async function tryLoopVolume(directory: string): Promise<void> {
  const { image, volume } = volumePlaceOf(directory);
  await format(image, MIB);
  await mkdir(volume);
  const mounting = ["-t", "xfs", "-o", `loop,${OPTIONS}`, image, volume];
  await runProgram("unshare", ["--mount", "mount", ...mounting]);
}
