/**
 * Removes directories in which a server may have put anything: folders in folders, too, until their
 * paths are longer than the kernel takes, where Node's own way to remove them gives up.
 */
import { rm } from "node:fs/promises";
import { runProgram } from "./run-program.ts";

const RETRIES = 10;

/** Removes a directory with all that is in it; does nothing when it is not there. */
export async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true, maxRetries: RETRIES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENAMETOOLONG") throw error;
    // It goes from folder to folder, and names none by a path.
    await runProgram("rm", ["-rf", "--", directory]);
  }
}
