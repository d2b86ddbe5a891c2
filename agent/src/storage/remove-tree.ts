/**
 * Removes directories in which a server may have put anything: folders in folders, too, until their
 * paths are longer than the kernel takes, where Node's own way to remove them gives up.
 */
import { rm } from "node:fs/promises";
import { Fault } from "@aerodb/model";
import { mountsUnder } from "./mounts.ts";
import { runProgram } from "./run-program.ts";

const RETRIES = 10;

/**
 * Removes a directory with all that is in it; does nothing when it is not there. Throws UNAVAILABLE
 * where something is mounted in it: what is there may be somebody's.
 */
export async function removeTree(directory: string): Promise<void> {
  const [mount] = await mountsUnder(directory);
  if (mount !== undefined) throw mountedAt(mount.at);
  try {
    await rm(directory, { recursive: true, force: true, maxRetries: RETRIES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENAMETOOLONG") throw error;
    // It goes from folder to folder, and names none by a path.
    await runProgram("rm", ["-rf", "--", directory]);
  }
}

/** What is not the agent's own is not its to unmount. */
export function mountedAt(path: string): Fault {
  const message = `Something is mounted at ${path} that is not the agent's: unmount it first.`;
  return new Fault("UNAVAILABLE", message);
}
