/**
 * A server that runs: found by whoever needs it, watched, and stopped. Starting is its own file.
 */
import { Fault } from "@aerodb/model";
import {
  isAlive,
  isTaken,
  later,
  monotonicMs,
  type ProcessIdentity,
  ProcessSight,
  signalProcess,
  sleep,
} from "@aerodb/runtime";
import { type PostmasterTraces, searchPostmaster } from "./postmaster-search.ts";

/** `smart` lets sessions end by themselves first, for a while, and lets nobody in meanwhile. */
export type StopMode = "smart" | "fast" | "immediate";

/** A running server. It survives this process. */
export interface Postmaster {
  readonly pid: number;
  readonly dataDirectory: string;
  /** Resolves once the process is gone. Never rejects, and does not keep this process alive. */
  readonly exited: Promise<void>;
  /**
   * Resolves once it is gone, at once when it is already. What does not heed `fast` is told
   * `immediate`, then killed; throws OPERATION_TIMED_OUT when even that does not end it. The
   * deadline begins when sessions have left, or have been waited for long enough.
   */
  stop(mode: StopMode, options?: { readonly deadlineMs?: number }): Promise<void>;
}

const STOP_DEADLINE_MS = 30_000;
/** How long `smart` waits: what a transaction has to end in. */
export const SESSIONS_LEAVE_MS = 10_000;
/** How often to look whether a process that is not our child has ended. */
const WATCH_MS = 500;
/** Every so many looks read what the kernel says of it; the others ask for no more than its pid. */
const CLOSER_LOOK = 4;
/** The longest pause between two looks while something is awaited. */
const LONGEST_PAUSE_MS = 50;

/**
 * The server that runs on a data directory, whoever started it; undefined when none does. `traces`
 * spare a search through every process when it is one in a sandbox.
 */
export async function findPostmaster(
  dataDirectory: string,
  traces?: PostmasterTraces,
): Promise<Postmaster | undefined> {
  const identity = await searchPostmaster(dataDirectory, traces);
  return identity && adopt(dataDirectory, identity, watch(identity));
}

/** A handle on a process whose identity has been established. */
export function adopt(
  dataDirectory: string,
  identity: ProcessIdentity,
  exited: Promise<void>,
): Postmaster {
  return {
    pid: identity.pid,
    dataDirectory,
    exited,
    stop: (mode, { deadlineMs = STOP_DEADLINE_MS } = {}) => stop(identity, mode, deadlineMs),
  };
}

/** What has a postmaster wait for its sessions. */
const SMART = "SIGTERM";
/** What the other signals mean to it, gentlest first. */
const SIGNALS = ["SIGINT", "SIGQUIT", "SIGKILL"] as const;

async function stop(identity: ProcessIdentity, mode: StopMode, deadlineMs: number): Promise<void> {
  if (mode === "smart") {
    signalProcess(identity, SMART);
    if (await isGoneWithin(identity, SESSIONS_LEAVE_MS)) return;
  }
  const signals = mode === "immediate" ? SIGNALS.slice(1) : SIGNALS;
  // The gentle way gets half of the time: a shutdown checkpoint may have much to write.
  const patience = signals.map((_, at) => deadlineMs / 2 ** Math.min(at + 1, signals.length - 1));
  for (const [at, signal] of signals.entries()) {
    signalProcess(identity, signal);
    if (await isGoneWithin(identity, patience[at] ?? 0)) return;
  }
  throw new Fault(
    "OPERATION_TIMED_OUT",
    `Waited ${deadlineMs} ms for the server with pid ${identity.pid} to end.`,
  );
}

export async function isGoneWithin(identity: ProcessIdentity, ms: number): Promise<boolean> {
  const start = monotonicMs();
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
    if (!isAlive(identity)) return true;
    if (monotonicMs() - start >= ms) return false;
    await sleep(pauseMs);
  }
}

interface Watched {
  readonly sight: ProcessSight;
  readonly ended: PromiseWithResolvers<void>;
}

/** Each process once, however many wait for its end. */
const watched = new Map<string, Watched>();
let looks = 0;

/** Resolves once a process that is no child of ours has ended. One loop looks at all of them. */
export function watch(identity: ProcessIdentity): Promise<void> {
  const key = `${identity.pid} ${identity.startTicks}`;
  const known = watched.get(key);
  if (known !== undefined) return known.ended.promise;
  const ended = Promise.withResolvers<void>();
  watched.set(key, { sight: new ProcessSight(identity), ended });
  if (watched.size === 1) lookSoon();
  return ended.promise;
}

function lookSoon(): void {
  later(WATCH_MS, () => {
    lookAtAll();
    if (watched.size > 0) lookSoon();
  });
}

function lookAtAll(): void {
  looks += 1;
  for (const [key, { sight, ended }] of watched) {
    // A pid may belong to a process that nobody has reaped yet, or to the next that got it.
    if (looks % CLOSER_LOOK !== 0 && isTaken(sight.identity.pid)) continue;
    if (sight.isAlive()) continue;
    watched.delete(key);
    sight.close();
    ended.resolve();
  }
}
