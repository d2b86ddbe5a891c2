/**
 * Processes of a home that nobody looks after: pieces of an `up` that was killed, servers of a
 * piece.
 */
import { basename } from "node:path";
import { type FoundProcess, processesUnder, signalEach, untilGone } from "./found-processes.ts";
import { scriptOf } from "./piece-program.ts";

const SCRIPTS: ReadonlySet<string> = new Set([
  scriptOf("control"),
  scriptOf("agent"),
  scriptOf("gateway"),
]);

/** Our own programs among the processes that work in the directories: no shell of a user's. */
export function findPieces(directories: readonly string[]): readonly FoundProcess[] {
  return processesUnder(directories).filter(({ command }) =>
    command.some((argument) => SCRIPTS.has(argument)),
  );
}

/** Postgres servers and their backends that work in the directories. */
export function findServers(directories: readonly string[]): readonly FoundProcess[] {
  return processesUnder(directories).filter(({ command: [program = ""] }) => {
    // Backends write what they do in place of their command line: `postgres: checkpointer `.
    return program.startsWith("postgres: ") || basename(program) === "postgres";
  });
}

const SANDBOXES: ReadonlySet<string> = new Set(["bwrap", "unshare", "setpriv", "flock"]);

/** What is about to become a server, or waits for one to end: its agent was making it. */
function findSandboxes(directories: readonly string[]): readonly FoundProcess[] {
  return processesUnder(directories).filter(
    ({ command: [program = "", ...rest] }) =>
      SANDBOXES.has(basename(program)) && rest.some((each) => basename(each) === "postgres"),
  );
}

/** Ends pieces that outlived their `up`. They end by themselves when it goes; some need a push. */
export async function endPieces(directories: readonly string[]): Promise<number> {
  const found = findPieces(directories);
  let left = await untilGone(found, 3_000);
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    signalEach(left, signal);
    left = await untilGone(left, 3_000);
  }
  return found.length;
}

function findInitdbs(directories: readonly string[]): readonly FoundProcess[] {
  return processesUnder(directories).filter(
    ({ command: [program = ""] }) => basename(program) === "initdb",
  );
}

/**
 * Ends servers whose agent can no longer do it. Immediate stop first: their WAL keeps what matters.
 */
export async function endServers(directories: readonly string[], graceMs: number): Promise<number> {
  // A template that was being made goes with its agent, and is made anew.
  signalEach(findInitdbs(directories), "SIGKILL");
  const found = findServers(directories);
  const pids = new Set(found.map(({ pid }) => pid));
  const postmasters = found.filter(({ parentPid }) => !pids.has(parentPid));
  signalEach(postmasters, "SIGQUIT");
  await untilGone(found, graceMs);
  signalEach([...findServers(directories), ...findSandboxes(directories)], "SIGKILL");
  return found.length;
}
