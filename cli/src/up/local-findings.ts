/**
 * What in a home belongs to nothing: the part of a diagnosis that no agent can see, because it is
 * about the agents' surroundings.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { now } from "@aerodb/runtime";
import { findDrafts, isInDraft } from "./drafts.ts";
import type { FoundProcess } from "./found-processes.ts";
import { findRunningUp } from "./home-lease.ts";
import { agentName } from "./home-paths.ts";
import { findPieces, findServers } from "./leftovers.ts";
import { findStateRoot } from "./state-root.ts";

export interface LocalFinding {
  readonly kind: string;
  readonly host_id: string;
  readonly subject: string;
  readonly detail: string;
}

const IN_HOME: ReadonlySet<string> = new Set([
  ...["agents", "catalogue", "control", "credentials.json", "engines", "gateway", "logs"],
  ...["platform-key", "state", "templates", "up.json", "up.lock", "up.lock-journal"],
]);
const IN_STATE: ReadonlySet<string> = new Set(["agents", "catalogue", "engines", "templates"]);

export function localFindings(home: string): readonly LocalFinding[] {
  if (!existsSync(home)) return [];
  const state = findStateRoot(home);
  const directories = state === undefined ? [home] : [home, state];
  return [
    ...strayPieces(home, directories),
    ...strayServers(directories),
    ...strayPaths(home, IN_HOME),
    ...(state === undefined ? [] : strayPaths(state, IN_STATE)),
    ...strayAgents(home, state),
    ...(state === undefined ? [] : drafts(state)),
  ];
}

/** Pieces are children of the `up` of their home, and of no other process. */
function strayPieces(home: string, directories: readonly string[]): readonly LocalFinding[] {
  const up = findRunningUp(home);
  return findPieces(directories)
    .filter(({ parentPid }) => parentPid !== up?.pid)
    .map((each) => finding("stray_process", each, "runs without the aerodb up of its home"));
}

/**
 * A server is whom its data directory's pid file names; its other processes are children of that.
 */
function strayServers(directories: readonly string[]): readonly LocalFinding[] {
  const found = findServers(directories);
  const known = new Set(found.filter(isNamedByItsDirectory).map(({ pid }) => pid));
  return (
    found
      .filter(({ pid, parentPid }) => !known.has(pid) && !known.has(parentPid))
      // A template is built by servers without a pid file; see drafts for those never finished.
      .filter(({ directory }) => !isInDraft(directory))
      .map((each) =>
        finding("stray_server", each, `works in ${each.directory}, which names another`),
      )
  );
}

function isNamedByItsDirectory({ pid, directory }: FoundProcess): boolean {
  try {
    const [first] = readFileSync(join(directory, "postmaster.pid"), "utf8").split("\n");
    return Number(first) === innerPidOf(pid);
  } catch {
    return false;
  }
}

/** What a process calls itself: in a sandbox, another pid than here. */
function innerPidOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^NSpid:.*?(\d+)$/m.exec(status)?.[1] ?? pid);
}

function finding(kind: string, { pid, command }: FoundProcess, detail: string): LocalFinding {
  const program = basename(command[0] ?? "").slice(0, 60);
  return { kind, host_id: "", subject: `process ${pid} (${program})`, detail };
}

function strayPaths(directory: string, known: ReadonlySet<string>): readonly LocalFinding[] {
  return readdirSync(directory)
    .filter((name) => !known.has(name))
    .map((name) => ({
      kind: "stray_path",
      host_id: "",
      subject: join(directory, name),
      detail: "was not made by this platform",
    }));
}

function strayAgents(home: string, state: string | undefined): readonly LocalFinding[] {
  const up = findRunningUp(home);
  const directory = join(state ?? home, "agents");
  if (up === undefined || !existsSync(directory)) return [];
  const started = Array.from({ length: up.agents }, (_, index) => agentName(index + 1));
  return readdirSync(directory)
    .filter((name) => !started.includes(name))
    .map((name) => ({
      kind: "idle_agent",
      host_id: "",
      subject: join(directory, name),
      detail: `is not started: aerodb up runs with --agents ${up.agents}`,
    }));
}

/** Drafts are named so while they are built, and keep the name when nobody finished them. */
const BUILT_WITHIN_MS = 300_000;

function drafts(state: string): readonly LocalFinding[] {
  return findDrafts(state)
    .filter((path) => now().getTime() - statSync(path).mtimeMs > BUILT_WITHIN_MS)
    .map((path) => ({
      kind: "unfinished_directory",
      host_id: "",
      subject: path,
      detail: "was begun and not finished; the next aerodb up removes it",
    }));
}
