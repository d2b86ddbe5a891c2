/** A Postgres server for one test file: made in a temporary directory, gone with it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { openDatabase, sql } from "@aerodb/db";
import { messageOf } from "@aerodb/model";
import { findEngine } from "@aerodb/postgres";
import { backoffMs, monotonicMs, sleep, within } from "@aerodb/runtime";

const run = promisify(execFile);

/** Who the server runs as where tests run as root, which Postgres refuses: nobody. */
const NOBODY = { uid: 65_534, gid: 65_534 };
const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 10_000;

export interface ThrowawayPostgres {
  /** Connects as superuser to the database of this name. */
  url(database: string): string;
  close(): Promise<void>;
}

export interface ThrowawayOptions {
  /** Whether commits wait for the disk, as in production. Off when left out: tests are quicker. */
  readonly durable?: boolean;
}

export async function startThrowawayPostgres(
  options: ThrowawayOptions = {},
): Promise<ThrowawayPostgres> {
  const nobody = process.getuid?.() === 0 ? NOBODY : undefined;
  const owner = nobody ?? {};
  const { binDirectory } = await findEngine();
  const above = options.durable === true ? undefined : process.env["THROWAWAY_SERVERS"];
  const home = await mkdtemp(join(above ?? tmpdir(), "aerodb-test-"));
  if (nobody !== undefined) await chown(home, nobody.uid, nobody.gid);
  const data = join(home, "data");
  await fillData(data, { binDirectory, owner });
  const server = spawn(join(binDirectory, "postgres"), ["-D", data, ...settings(home, options)], {
    ...owner,
    cwd: home,
    stdio: "ignore",
  });
  // A test that fails before it closes the server leaves none behind.
  const killAtExit = () => server.kill("SIGQUIT");
  process.once("exit", killAtExit);
  const url = (database: string) => `postgres://postgres@/${database}?host=${home}`;
  await untilItAnswers(server, url("postgres"));
  return {
    url,
    async close() {
      process.off("exit", killAtExit);
      await stop(server);
      await rm(home, { recursive: true, force: true });
    },
  };
}

interface Initialising {
  readonly binDirectory: string;
  readonly owner: { readonly uid?: number; readonly gid?: number };
}

/** Makes a data directory, which is not there yet: in a run of tests a copy of the first. */
async function fillData(data: string, how: Initialising): Promise<void> {
  const shared = process.env["THROWAWAY_DIRECTORY"];
  if (shared === undefined) return initialise(data, how);
  const first = join(shared, "throwaway-data");
  if (!existsSync(first)) {
    await mkdir(shared, { recursive: true, mode: 0o711 });
    const building = await mkdtemp(`${first}-`);
    await initialise(building, how);
    try {
      await rename(building, first);
    } catch (error) {
      // Another test file was quicker.
      if (!existsSync(first)) throw error;
      await rm(building, { recursive: true, force: true });
    }
  }
  // By its user, who alone may read it.
  await run("cp", ["-a", first, data], how.owner);
}

async function initialise(data: string, { binDirectory, owner }: Initialising): Promise<void> {
  await mkdir(data, { recursive: true });
  const { uid, gid } = owner;
  if (uid !== undefined && gid !== undefined) await chown(data, uid, gid);
  await chmod(data, 0o700);
  const initdb = ["--auth=trust", "--username=postgres", "--no-sync", "--locale=C", "-E", "UTF8"];
  await run(join(binDirectory, "initdb"), [...initdb, "-D", data], { ...owner, cwd: data });
}

function settings(home: string, { durable = false }: ThrowawayOptions): string[] {
  const speed = durable ? [] : ["fsync=off", "full_page_writes=off", "synchronous_commit=off"];
  return [
    "listen_addresses=",
    `unix_socket_directories=${home}`,
    "max_connections=200",
    "shared_buffers=64MB",
    "autovacuum_naptime=5s",
    ...speed,
  ].flatMap((setting) => ["-c", setting]);
}

async function untilItAnswers(server: ChildProcess, url: string): Promise<void> {
  const startedMs = monotonicMs();
  for (let tries = 1; ; tries += 1) {
    const database = openDatabase({ url, applicationName: "test", maxConnections: 1 });
    try {
      await database.query(sql`select 1`);
      return;
    } catch (error) {
      const late = monotonicMs() - startedMs > START_DEADLINE_MS;
      if (late || server.exitCode !== null) {
        throw new Error(`The throwaway Postgres did not start. ${messageOf(error)}`);
      }
    } finally {
      await database.close();
    }
    await sleep(backoffMs(tries, { firstMs: 20, maxMs: 200 }));
  }
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, "exit");
  server.kill("SIGQUIT");
  await within({ ms: STOP_DEADLINE_MS, expecting: "the throwaway Postgres to end" }, exited);
}
