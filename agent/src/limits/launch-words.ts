/**
 * The words of a command that raises walls around a server and then becomes it. Nothing of it stays
 * in memory: each program replaces the one before.
 */
import { join } from "node:path";
import type { Owner } from "@aerodb/postgres";
import { mountsOfView, type View, type ViewMount } from "./sandbox-view.ts";

export type SandboxKind = "bubblewrap" | "unshare" | "none";

/** What one server is launched with. */
export interface Launch {
  readonly server: readonly string[];
  readonly dataDirectory: string;
  /** Who the server runs as; undefined: whoever launches it. */
  readonly owner: Owner | undefined;
  /** Files of its control group that it signs itself in. */
  readonly joinFiles: readonly string[];
  /** What each of its processes may have of memory of its own. */
  readonly backendMemoryBytes: number;
  readonly view: View;
  /** Where the sandbox writes which process of the host the server is. */
  readonly pidFile: string;
  /** Where the mounts of the view are listed for `mount`. */
  readonly mountsFile: string;
}

/** Open files of one process; it opens 1000 of Postgres's own at most. */
const OPEN_FILES = 4_096;
const KIB = 1_024;
const MIB = 2 ** 20;
/** The kernel ends something else than a server with this. Not every root may ask for it. */
const OOM_SCORE = -900;
const NAMESPACES = ["mount", "ipc", "uts", "net", "pid"] as const;
/** To step into a directory of another user, and to become that user, who has none of them. */
const BUBBLEWRAP_POWERS = ["CAP_DAC_READ_SEARCH", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"];
/** Free file descriptor in the shell. */
const PID_FD = 9;
const MADE = "X-mount.mkdir";
const WALLED = `nosuid,nodev,${MADE}`;

export function launchWords(kind: SandboxKind, launch: Launch): readonly string[] {
  const before = preparation(launch);
  switch (kind) {
    case "none":
      return shell(...before, `exec ${line(serverWords(launch))}`);
    case "unshare":
      return unshareWords(before, launch);
    case "bubblewrap":
      return shell(
        ...before,
        forgetting(launch),
        `exec ${line(bubblewrapWords(launch))} ${PID_FD}>${quote(launch.pidFile)}`,
      );
  }
}

function shell(...lines: readonly string[]): readonly string[] {
  return ["sh", "-c", ["set -e", ...lines].join("\n"), "aerodb-launch"];
}

/**
 * A server that was killed left a file that says it is ready; in a sandbox every server has the
 * same pid, so that the next would be taken for it. Whoever launches holds the lock: none runs.
 */
function forgetting({ dataDirectory }: Launch): string {
  const file = quote(join(dataDirectory, "postmaster.pid"));
  return `test ! -e ${file} || rm -f ${file}`;
}

/** What holds with and without a sandbox. */
function preparation({ joinFiles, backendMemoryBytes }: Launch): readonly string[] {
  return [
    ...joinFiles.map((file) => `echo 0 >${quote(file)}`),
    "ulimit -c 0",
    // The soft limit only: a live resize moves it, and nothing raises it but code of our own.
    `ulimit -S -d ${Math.floor(backendMemoryBytes / KIB)}`,
    `ulimit -S -n ${OPEN_FILES} 2>/dev/null || :`,
    `echo ${OOM_SCORE} 2>/dev/null >/proc/self/oom_score_adj || :`,
  ];
}

/** The server as who it is to be, with no way to become anybody else. */
function serverWords({ server, owner }: Launch): readonly string[] {
  if (owner === undefined) return ["setpriv", "--no-new-privs", ...server];
  const identity = ["--reuid", owner.uid.toString(), "--regid", owner.gid.toString()];
  const powers = ["--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all"];
  return ["setpriv", ...identity, ...powers, "--no-new-privs", ...server];
}

/**
 * Without `--fork`, unshare gives the new process namespace to the first child of what it becomes:
 * a shell, which notes the child and ends. So no parent waits in memory, and the server is the
 * first process of its namespace: with it ends everything in there.
 */
function unshareWords(before: readonly string[], launch: Launch): readonly string[] {
  const { view, dataDirectory, pidFile, mountsFile } = launch;
  const user = launch.owner === undefined ? ["--user", "--map-root-user"] : [];
  const namespaces = [...user, ...NAMESPACES.map((name) => `--${name}`)];
  const inside = [
    forgetting(launch),
    `mount --all --fstab ${quote(mountsFile)}`,
    `cd ${quote(view.floor)}`,
    "pivot_root . .",
    "umount --lazy .",
    `cd ${quote(dataDirectory)}`,
    `exec ${line([...mappedBack(launch), ...serverWords(launch)])}`,
  ];
  const note = `echo "$! unshare" >${quote(pidFile)}`;
  const words = shell(...before, "(", ...inside, ") &", note);
  return ["unshare", ...namespaces, "--propagation", "private", ...words];
}

/** Being root of a user namespace was for the mounts: Postgres refuses to be any kind of root. */
function mappedBack({ owner }: Launch): readonly string[] {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  if (owner !== undefined || uid === 0) return [];
  return ["unshare", "--user", `--map-user=${uid}`, `--map-group=${gid}`];
}

function bubblewrapWords(launch: Launch): readonly string[] {
  const { view, dataDirectory, owner } = launch;
  const powers = owner === undefined ? [] : BUBBLEWRAP_POWERS;
  return [
    "bwrap",
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--as-pid-1"],
    ...["--cap-drop", "ALL", ...powers.flatMap((power) => ["--cap-add", power])],
    ...mountsOfView(view).flatMap(bubblewrapMount),
    ...["--info-fd", PID_FD.toString(), "--chdir", dataDirectory],
    ...serverWords(launch),
  ];
}

function bubblewrapMount(mount: ViewMount): readonly string[] {
  const { path } = mount;
  switch (mount.kind) {
    case "read_only":
      return [...passage(path), "--ro-bind", mount.source, path];
    case "writable":
      return [...passage(path), "--bind", path, path];
    case "device":
      return ["--dev-bind", path, path];
    case "processes":
      return ["--proc", path];
    case "private":
      return ["--perms", mount.mode, "--size", (mount.mib * MIB).toString(), "--tmpfs", path];
  }
}

/** Bubblewrap makes the directories on the way for itself alone, unless it is told. */
function passage(path: string): readonly string[] {
  const parts = path.split("/").slice(1, -1);
  const above = parts.map((_, at) => `/${parts.slice(0, at + 1).join("/")}`).slice(1);
  return above.flatMap((directory) => ["--perms", "0755", "--dir", directory]);
}

/** The mounts of a view, as fstab has them: all of them are one call of `mount`. */
export function mountLines({ view, owner }: Pick<Launch, "view" | "owner">): string {
  const lines = mountsOfView(view).map((mount) => {
    const target = mount.path === "/" ? view.floor : `${view.floor}${mount.path}`;
    const { source, type, options } = fstabMount(mount, owner);
    return `${escaped(source)} ${escaped(target)} ${type} ${options} 0 0\n`;
  });
  return lines.join("");
}

function fstabMount(
  mount: ViewMount,
  owner: Owner | undefined,
): { readonly source: string; readonly type: string; readonly options: string } {
  switch (mount.kind) {
    case "read_only":
      return { source: mount.source, type: "none", options: `bind,ro,${WALLED}` };
    case "writable":
      // In a user namespace only a mount that keeps all its flags may be changed: none is.
      return {
        source: mount.path,
        type: "none",
        options: owner === undefined ? `bind,${MADE}` : `bind,${WALLED}`,
      };
    case "device":
      return { source: mount.path, type: "none", options: "bind" };
    case "processes":
      return { source: "none", type: "proc", options: "nosuid,nodev,noexec" };
    case "private":
      return {
        source: "none",
        type: "tmpfs",
        options: `${WALLED},mode=${mount.mode},size=${mount.mib}m`,
      };
  }
}

/** One word of the shell, whatever is in it. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function line(words: readonly string[]): string {
  return words.map(quote).join(" ");
}

/** fstab parts its fields with blanks. */
function escaped(field: string): string {
  return field.replace(
    /[\s\\#]/g,
    (sign) => `\\${sign.charCodeAt(0).toString(8).padStart(3, "0")}`,
  );
}
