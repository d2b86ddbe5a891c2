/**
 * An instance as somebody would make and start it without an agent, with the programs of the
 * machine: what the agent's figures are held against. It has an own user and the same configuration
 * as the agent's, and no sandbox, no control group and nothing that is checked.
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import {
  canChangeOwner,
  type InstanceShape,
  type Owner,
  type Postmaster,
  pointTablespace,
  startPostmaster,
  templateFiles,
  writeConfiguration,
} from "@aerodb/postgres";
import type { ReadyEngine } from "../../agent/src/storage/engine-shelf.ts";

/** How the template is cloned: `cp` shares blocks where the file system can. */
export type CloneMeans = "cp" | "snapshot";

const OWNER: Owner | undefined = canChangeOwner() ? { uid: 69_999, gid: 69_999 } : undefined;
const MIB = 2 ** 20;
/** As the agent makes them, so that the two differ in nothing but who does it. */
const FORMAT = ["-q", "-f", "-m", "reflink=0,rmapbt=0"];
const run = promisify(execFile);

export interface HandmadeInstance {
  readonly engine: ReadyEngine["engine"];
  readonly directory: string;
  readonly data: string;
  readonly socketDirectory: string;
  readonly owner: Owner | undefined;
}

/** Clones the template into a directory that is not there yet. */
export async function makeByHand(options: {
  readonly ready: ReadyEngine;
  readonly directory: string;
  readonly means?: CloneMeans;
  /** Size of a volume for the tablespace; 0: none. */
  readonly volumeMiB?: number;
}): Promise<HandmadeInstance> {
  const { directory, ready } = options;
  const { engine, template } = ready;
  if (options.means === "snapshot") {
    await run("btrfs", ["subvolume", "snapshot", seedOf(directory), directory]);
  } else {
    mkdirSync(directory, { mode: 0o711 });
    await run("cp", ["-a", template, templateFiles(template), directory]);
  }
  const data = join(directory, "data");
  const space = join(directory, "space");
  const files = await intoVolume(space, options.volumeMiB ?? 0);
  await pointTablespace(data, files);
  if (OWNER !== undefined) await run("chown", ["-R", `${OWNER.uid}`, data, space]);
  const shape: InstanceShape = {
    kind: "dedicated",
    engineMajor: engine.major,
    maxConnections: 100,
    memoryMiB: 128,
  };
  await writeConfiguration(data, shape, OWNER);
  return { engine, directory, data, socketDirectory: join(directory, "run"), owner: OWNER };
}

export function startByHand(made: HandmadeInstance): Promise<Postmaster> {
  const { engine, data, directory, socketDirectory, owner } = made;
  return startPostmaster({
    engine,
    dataDirectory: data,
    socketDirectory,
    lockFile: join(directory, "lock"),
    logFile: join(directory, "log"),
    ...(owner === undefined ? {} : { owner }),
  });
}

/** Makes the subvolume that snapshots into a directory beside it are taken of. */
export async function makeSeedByHand(ready: ReadyEngine, directory: string): Promise<void> {
  const seed = seedOf(directory);
  await run("btrfs", ["subvolume", "create", seed]);
  await run("cp", ["-a", ready.template, templateFiles(ready.template), seed]);
}

/** Removes it with all there is of it. Its server must be down. */
export async function removeByHand({ directory }: HandmadeInstance): Promise<void> {
  await run("umount", ["-q", join(directory, "space", "volume")]).catch(() => undefined);
  await run("rm", ["-rf", directory]);
}

function seedOf(directory: string): string {
  return join(dirname(directory), "seed");
}

/** Puts the tablespace into a file system of its own, and returns where it is. */
async function intoVolume(space: string, volumeMiB: number): Promise<string> {
  if (volumeMiB === 0) return space;
  const volume = join(space, "volume");
  const image = `${space}.image`;
  mkdirSync(volume, { mode: 0o711 });
  await run("truncate", ["--size", `${volumeMiB * MIB}`, image]);
  await run("mkfs.xfs", [...FORMAT, image]);
  await run("mount", ["-o", "loop,noatime,discard", image, volume]);
  mkdirSync(join(volume, "files"), { mode: 0o700 });
  await run("sh", ["-c", 'mv "$1"/PG_* "$1"/volume/files', "sh", space]);
  return join(volume, "files");
}
