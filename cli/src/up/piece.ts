/**
 * One process of the platform under supervision: started again when it dies, stopped when it is
 * asked to. It is in a session of its own, so that Ctrl-C in the terminal reaches only `up`, and
 * holds one end of a channel to it, so that it ends by itself when `up` is gone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, renameSync, statSync } from "node:fs";
import { Fault } from "@aerodb/model";
import { after, backoffMs, monotonicMs } from "@aerodb/runtime";
import { z } from "zod";
import { lastSentence } from "./piece-log.ts";

export interface PieceSettings {
  /** `control`, `agent-1`, `gateway`. */
  readonly name: string;
  /** What Node is told: its own flags, and the program. */
  readonly words: readonly string[];
  readonly directory: string;
  readonly logFile: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Variables of the first process only, not of those that replace it. */
  readonly firstEnvironment?: Readonly<Record<string, string>>;
}

export type PieceEvent =
  | { readonly kind: "died"; readonly how: string; readonly againInMs: number }
  | { readonly kind: "serves_again"; readonly afterMs: number };

/** See `announceReady`. */
const readyMessage = z.object({ ready: z.record(z.string(), z.union([z.string(), z.number()])) });

const RESTART = { firstMs: 100, maxMs: 5_000 };
/** A process that served this long failed for a new reason: the pauses start anew. */
const LONG_LIFE_MS = 10_000;
/** A piece that died this often before it ever served will not serve. */
const TRIES_TO_SERVE = 3;
const LOG_LIMIT_BYTES = 64 * 1024 * 1024;

export class Piece {
  readonly name: string;
  /** Resolves when it serves for the first time; rejects when it gives up or is stopped before. */
  readonly served: Promise<void>;
  readonly #settings: PieceSettings;
  readonly #report: (event: PieceEvent) => void;
  readonly #serves = Promise.withResolvers<void>();
  #child: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();
  #facts: Readonly<Record<string, string | number>> = {};
  #hasServed = false;
  #stopping = false;
  #failures = 0;
  #incarnations = 0;
  #diedAt = 0;
  #cancelRestart: () => void = () => undefined;

  constructor(settings: PieceSettings, report: (event: PieceEvent) => void) {
    this.name = settings.name;
    this.#settings = settings;
    this.#report = report;
    this.served = this.#serves.promise;
    // Whoever waits for it hears of a rejection; nobody has to.
    this.served.catch(() => undefined);
  }

  /** What it told about itself when it last began to serve. */
  get facts(): Readonly<Record<string, string | number>> {
    return this.#facts;
  }

  start(): void {
    if (this.#stopping) return;
    this.#incarnations += 1;
    const { directory, words, logFile, environment, firstEnvironment } = this.#settings;
    const log = openLog(logFile);
    const startedAt = monotonicMs();
    const child = spawn(process.execPath, words, {
      cwd: directory,
      detached: true,
      env: this.#incarnations === 1 ? { ...environment, ...firstEnvironment } : environment,
      stdio: ["ignore", log.descriptor, log.descriptor, "ipc"],
    });
    closeSync(log.descriptor);
    this.#child = child;
    const gone = Promise.withResolvers<void>();
    this.#gone = gone.promise;
    child.on("message", (message) => this.#heard(message));
    child.once("error", (error) => this.#ended(error.message, { startedAt, logOffset: log.size }));
    child.once("exit", (code, signal) => {
      gone.resolve();
      const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`;
      this.#ended(how, { startedAt, logOffset: log.size });
    });
  }

  /** Asks it to end, and makes it end at the deadline. Returns whether it ended when asked. */
  async stop(signal: NodeJS.Signals, deadlineMs: number): Promise<boolean> {
    this.#stopping = true;
    this.#cancelRestart();
    this.#serves.reject(new Fault("UNAVAILABLE", `${this.name} was stopped.`));
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      return true;
    }
    child.kill(signal);
    let killed = false;
    const cancel = after(deadlineMs, () => {
      killed = true;
      child.kill("SIGKILL");
    });
    await this.#gone;
    cancel();
    return !killed;
  }

  /** Ends it at once, also while `stop` waits. */
  kill(): void {
    this.#stopping = true;
    this.#cancelRestart();
    this.#child?.kill("SIGKILL");
  }

  #heard(message: unknown): void {
    const parsed = readyMessage.safeParse(message);
    if (!parsed.success) return;
    this.#facts = parsed.data.ready;
    if (this.#hasServed) {
      this.#report({ kind: "serves_again", afterMs: monotonicMs() - this.#diedAt });
    }
    this.#hasServed = true;
    this.#serves.resolve();
  }

  #ended(how: string, life: { readonly startedAt: number; readonly logOffset: number }): void {
    if (this.#stopping) return;
    this.#diedAt = monotonicMs();
    this.#failures = this.#diedAt - life.startedAt > LONG_LIFE_MS ? 1 : this.#failures + 1;
    if (!this.#hasServed && this.#failures >= TRIES_TO_SERVE) {
      const said = lastSentence(this.#settings.logFile, life.logOffset);
      const because = said === undefined ? "" : `: ${said.replace(/\.$/, "")}`;
      const where = `Its log is ${this.#settings.logFile}.`;
      const message = `${this.name} ${how} before it served${because}. ${where}`;
      this.#serves.reject(new Fault("UNAVAILABLE", message));
      return;
    }
    const againInMs = backoffMs(this.#failures, RESTART);
    this.#report({ kind: "died", how, againInMs });
    this.#cancelRestart = after(againInMs, () => this.start());
  }
}

/**
 * Opens a log for appending. A long one is put aside first, in place of the one put aside before.
 */
function openLog(path: string): { readonly descriptor: number; readonly size: number } {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_LIMIT_BYTES) renameSync(path, `${path}.1`);
  const descriptor = openSync(path, "a", 0o600);
  return { descriptor, size: size > LOG_LIMIT_BYTES ? 0 : size };
}
