/**
 * The embedded catalogue: a Postgres server of its own under the home, on a socket only. It
 * outlives an `up` that was killed and is taken over by the next one; when it dies it is started
 * again.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Fault, messageOf } from "@aerodb/model";
import {
  cloneDataDirectory,
  DATABASE,
  type Engine,
  ensureTemplate,
  findPostmaster,
  generatePassword,
  type Owner,
  type Postmaster,
  ROOT_ROLE,
  socketPath,
  startPostmaster,
  writeConfiguration,
} from "@aerodb/postgres";
import { backoffMs, monotonicMs, sleep } from "@aerodb/runtime";
import type { HomePaths } from "./home-paths.ts";
import type { PieceEvent } from "./piece.ts";
import { ensureSecret } from "./secret-file.ts";

export interface CatalogueSettings {
  readonly paths: HomePaths;
  readonly engine: Engine;
  /** Who the server runs as; this process's user when left out. */
  readonly owner: Owner | undefined;
  readonly report: (event: PieceEvent) => void;
}

export interface Catalogue {
  /** For control. Holds the password. */
  readonly url: string;
  /** Whether it ran already when this `up` came. */
  readonly adopted: boolean;
  stop(deadlineMs: number): Promise<void>;
  /** Ends it at once. */
  kill(): Promise<void>;
}

const CONNECTIONS = 60;
const MEMORY_MIB = 256;
const RESTART = { firstMs: 100, maxMs: 5_000 };
const LONG_LIFE_MS = 10_000;

/** Makes the catalogue's data directory if there is none, and starts or adopts its server. */
export async function startCatalogue(
  settings: CatalogueSettings,
  signal: AbortSignal,
): Promise<Catalogue> {
  const directory = settings.paths.catalogue;
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const password = ensureSecret(join(directory, "password"), generatePassword);
  const dataDirectory = join(directory, "data");
  const running = await findPostmaster(dataDirectory);
  if (running === undefined) await prepareData(settings, { dataDirectory, password });
  const sockets = socketDirectory(directory);
  const start = (wanted: AbortSignal) => startServer(settings, { dataDirectory, sockets }, wanted);
  // One that runs is taken over once it accepts connections.
  const first = await start(signal);
  const host = encodeURIComponent(sockets);
  return {
    url: `postgres://${ROOT_ROLE}:${encodeURIComponent(password)}@/${DATABASE}?host=${host}`,
    adopted: running !== undefined,
    ...supervise({
      ...{ first, start, signal, report: settings.report },
      cleanUp: () => removeShortDirectory(directory, sockets),
    }),
  };
}

async function prepareData(
  { paths, engine, owner }: CatalogueSettings,
  data: { readonly dataDirectory: string; readonly password: string },
): Promise<void> {
  const kept = dataOwner(data.dataDirectory, owner);
  if (!existsSync(data.dataDirectory)) {
    mkdirSync(paths.templates, { recursive: true, mode: 0o711 });
    const template = await ensureTemplate(engine, paths.templates, {
      rootPassword: data.password,
    });
    await cloneDataDirectory(
      template,
      data.dataDirectory,
      kept === undefined ? {} : { owner: kept },
    );
  }
  const shape = {
    kind: "catalogue",
    engineMajor: engine.major,
    maxConnections: CONNECTIONS,
    memoryMiB: MEMORY_MIB,
  } as const;
  await writeConfiguration(data.dataDirectory, shape, kept);
}

function startServer(
  { engine, owner, paths }: CatalogueSettings,
  at: { readonly dataDirectory: string; readonly sockets: string },
  signal: AbortSignal,
): Promise<Postmaster> {
  const runAs = dataOwner(at.dataDirectory, owner);
  return startPostmaster(
    {
      engine,
      dataDirectory: at.dataDirectory,
      socketDirectory: at.sockets,
      lockFile: join(paths.catalogue, "lock"),
      logFile: paths.log("catalogue"),
      ...(runAs === undefined ? {} : { owner: runAs }),
    },
    signal,
  );
}

/** Whose the data directory is already; a home that was moved keeps its users. */
function dataOwner(dataDirectory: string, owner: Owner | undefined): Owner | undefined {
  if (owner === undefined) return undefined;
  const { uid, gid } = statSync(dataDirectory, { throwIfNoEntry: false }) ?? owner;
  return { uid, gid };
}

/** The kernel cuts socket paths off at 108 bytes. */
const SOCKET_PATH_BYTES = 107;

/** Beside the data, or in a private directory with a short name where that path is too long. */
function socketDirectory(directory: string): string {
  const beside = join(directory, "run");
  if (Buffer.byteLength(socketPath(beside)) <= SOCKET_PATH_BYTES) return beside;
  const user = process.geteuid?.() ?? 0;
  const hash = createHash("sha256").update(directory).digest("hex").slice(0, 12);
  const short = join(user === 0 ? "/run" : tmpdir(), `aerodb-${hash}`);
  if (lstatSync(short, { throwIfNoEntry: false }) === undefined) {
    mkdirSync(short, { mode: 0o711 });
    chmodSync(short, 0o711);
  }
  const entry = lstatSync(short);
  if (!entry.isDirectory() || entry.uid !== user) {
    throw new Fault("UNAVAILABLE", `${short} belongs to somebody else: choose a shorter --home.`);
  }
  return join(short, "run");
}

/** Outside of the home nothing stays that a stopped platform does not need. */
function removeShortDirectory(directory: string, sockets: string): void {
  if (dirname(sockets) !== directory) rmSync(dirname(sockets), { recursive: true, force: true });
}

interface Supervision {
  readonly first: Postmaster;
  start(signal: AbortSignal): Promise<Postmaster>;
  readonly report: (event: PieceEvent) => void;
  readonly signal: AbortSignal;
  /** Removes what only a running server needs. */
  cleanUp(): void;
}

function supervise(supervision: Supervision): Pick<Catalogue, "stop" | "kill"> {
  const { start, report } = supervision;
  const over = new AbortController();
  const stopped = AbortSignal.any([over.signal, supervision.signal]);
  let postmaster = supervision.first;
  let starting: Promise<void> = Promise.resolve();
  void watch();

  async function watch(): Promise<void> {
    let failures = 0;
    while (!stopped.aborted) {
      const startedAt = monotonicMs();
      await postmaster.exited;
      if (stopped.aborted) return;
      failures = monotonicMs() - startedAt > LONG_LIFE_MS ? 1 : failures + 1;
      starting = startAgain(failures);
      await starting;
    }
  }

  /** Tries until it runs or is not wanted any more. Never rejects. */
  async function startAgain(failuresBefore: number): Promise<void> {
    const diedAt = monotonicMs();
    let how = "ended";
    for (let failures = failuresBefore; ; failures += 1) {
      const againInMs = backoffMs(failures, RESTART);
      report({ kind: "died", how, againInMs });
      try {
        await sleep(againInMs, stopped);
        postmaster = await start(stopped);
        return report({ kind: "serves_again", afterMs: monotonicMs() - diedAt });
      } catch (error) {
        if (stopped.aborted) return;
        how = `does not start: ${messageOf(error)}`;
      }
    }
  }

  return {
    async stop(deadlineMs) {
      over.abort();
      await starting;
      await postmaster.stop("fast", { deadlineMs });
      supervision.cleanUp();
    },
    async kill() {
      over.abort();
      await postmaster.stop("immediate", { deadlineMs: 500 });
    },
  };
}
