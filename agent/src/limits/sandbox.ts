/** Which sandbox this machine can build, found by building one. */
import { execFile } from "node:child_process";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { canChangeOwner } from "@aerodb/postgres";
import { type Launch, launchWords, mountLines, type SandboxKind } from "./launch-words.ts";
import { layFloor, systemDirectories } from "./sandbox-view.ts";

const run = promisify(execFile);
const DEADLINE_MS = 10_000;
const TRIED_MEMORY_BYTES = 256 * 2 ** 20;
/** Somebody, and nobody in particular, to try as. */
const NOBODY = { uid: 65_534, gid: 65_534 };
const BEST_FIRST: readonly SandboxKind[] = ["bubblewrap", "unshare"];
const ENVIRONMENT = {
  LC_ALL: "C",
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

/** The best that works for what is in a directory; none, when not one does. */
export async function findSandbox(home: string): Promise<SandboxKind> {
  for (const kind of BEST_FIRST) {
    if (await canSandbox(kind, home)) return kind;
  }
  return "none";
}

/** Whether a program can be run in a sandbox where it is the first, and sees what it should. */
export async function canSandbox(kind: SandboxKind, home: string): Promise<boolean> {
  let directory: string | undefined;
  try {
    directory = await mkdtemp(join(home, "view.try-"));
    const launch = await trial(home, directory);
    if (kind === "unshare") await writeFile(launch.mountsFile, mountLines(launch));
    const [program = "", ...words] = launchWords(kind, launch);
    // Its output closes when the last of what was launched has ended.
    const options = { env: ENVIRONMENT, timeout: DEADLINE_MS };
    const { stdout } = await run(program, words, options);
    return stdout === "1 written\n";
  } catch {
    return false;
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

async function trial(home: string, directory: string): Promise<Launch> {
  const owner = canChangeOwner() ? NOBODY : undefined;
  if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
  const floor = await layFloor(home, [directory]);
  const writable = [directory];
  const system = await systemDirectories();
  return {
    server: ["sh", "-c", 'test ! -e "$0" && echo written >mark && echo $$ $(cat mark)', floor],
    dataDirectory: directory,
    owner,
    joinFiles: [],
    backendMemoryBytes: TRIED_MEMORY_BYTES,
    view: { home, floor, system, readOnly: [], writable, sharedMemoryMiB: 1 },
    pidFile: join(directory, "pid"),
    mountsFile: join(directory, "mounts"),
  };
}
