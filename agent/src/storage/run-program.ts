/** Programs of the machine that storage needs: mkfs.xfs, mount, losetup, btrfs and their like. */
import { execFile } from "node:child_process";
import { Fault } from "@aerodb/model";

const DEADLINE_MS = 30_000;
/** A service may be started with a PATH that lacks the directories of what only root runs. */
const ENVIRONMENT = {
  LC_ALL: "C",
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};
const SAID_LINES = 3;

/** Runs a program to its end and returns what it printed. Throws UNAVAILABLE with what it said. */
export async function runProgram(program: string, words: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { env: ENVIRONMENT, timeout: DEADLINE_MS };
  execFile(program, words, options, (error, printed, said) => {
    if (error === null) return resolve(printed);
    const why = said.trim().split("\n").slice(-SAID_LINES).join(" / ") || error.message;
    reject(new Fault("UNAVAILABLE", `${program} failed: ${why}`, { cause: error }));
  });
  return promise;
}

/** Whether this machine could do what was tried. */
export function succeeds(attempt: Promise<unknown>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}
