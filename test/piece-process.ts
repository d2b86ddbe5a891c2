/** One piece of the platform as a process of its own, without `aerodb up`. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { within } from "@aerodb/runtime";
import { flagsOf, type PieceKind } from "../cli/src/up/piece-program.ts";
import { cleanEnvironment, REPOSITORY } from "./program.ts";

const START_MS = 30_000;
const STOP_MS = 10_000;

export interface Piece {
  readonly pid: number;
  /** What it announces once it serves. */
  readonly ready: Promise<Readonly<Record<string, number>>>;
  readonly output: () => string;
  readonly stop: () => Promise<number | null>;
  /** Ctrl-C: an agent stops its servers too. Nothing happens when it has ended already. */
  readonly interrupt: () => Promise<number | null>;
  readonly kill: () => Promise<void>;
}

/**
 * Node runs it as under `aerodb up`. `root`: whose code it runs, where that is not this
 * repository's.
 */
export function startPiece(
  piece: PieceKind,
  environment: Readonly<Record<string, string>>,
  root = REPOSITORY,
): Piece {
  const child = fork(`${root}/${piece}/src/main.ts`, [], {
    env: { ...cleanEnvironment(), ...environment },
    execArgv: [...flagsOf(piece)],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  if (child.pid === undefined) throw new Error(`${piece} could not be started.`);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const ready = new Promise<Readonly<Record<string, number>>>((resolve, reject) => {
    child.once("message", (message) => {
      resolve((message as { readonly ready: Readonly<Record<string, number>> }).ready);
    });
    child.once("exit", () => reject(new Error(`${piece} ended before it served:\n${output}`)));
  });
  return {
    pid: child.pid,
    ready: within({ ms: START_MS, expecting: `${piece} to serve` }, ready),
    output: () => output,
    stop: () => stopChild(child, piece, "SIGTERM"),
    interrupt: () => stopChild(child, piece, "SIGINT"),
    kill: () => killChild(child, piece),
  };
}

async function stopChild(
  child: ChildProcess,
  piece: string,
  signal: "SIGTERM" | "SIGINT",
): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, "exit");
  child.kill(signal);
  await within({ ms: STOP_MS, expecting: `${piece} to end` }, exited);
  return child.exitCode;
}

async function killChild(child: ChildProcess, piece: string): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await within({ ms: STOP_MS, expecting: `${piece} to be dead` }, exited);
}
