/** Tenants with a server each on one host: files, sockets, users, processes, secrets. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { queryOnce } from "../../platform-client.ts";
import { platformFamily, type Stage } from "../platform-case.ts";

interface Served {
  readonly pid: number;
  readonly data: string;
  /** The directory of its socket, as line 5 of its postmaster.pid says. */
  readonly socket: string;
  readonly uid: number;
}

/** The servers of instances, as the processes themselves say. */
function servers({ platform }: Stage): readonly Served[] {
  return platform.pids("instances").map((pid) => {
    const data = readlinkSync(`/proc/${pid}/cwd`);
    const lines = readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
    return { pid, data, socket: lines[4] ?? "", uid: statSync(data).uid };
  });
}

/** What a program says that runs as the user of the first server, about each other one. */
function asFirst(stage: Stage, words: (other: Served) => readonly string[]): string {
  const [first, ...others] = servers(stage);
  if (first === undefined || others.length === 0) throw new Error("There is one server only.");
  const outcomes = others.map((other) => {
    const [program = "", ...rest] = words(other);
    try {
      execFileSync(program, rest, { uid: first.uid, gid: first.uid, stdio: "pipe" });
      return "done";
    } catch (error) {
      const { stderr } = error as { readonly stderr?: Buffer };
      return /Permission denied|not permitted/.test(String(stderr)) ? "denied" : String(stderr);
    }
  });
  return [...new Set(outcomes)].join();
}

const refused = (words: (other: Served) => readonly string[]) => ({
  attack: async (stage: Stage) => asFirst(stage, words),
  safe: ["denied"],
  asRoot: true as const,
});

function filesUnder(directory: string, pattern: RegExp): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Where one of these texts stands. */
function leaksOf(texts: ReadonlyMap<string, string>, secrets: readonly string[]): string {
  const found = [...texts].filter(([, text]) => secrets.some((secret) => text.includes(secret)));
  return found.map(([where]) => where).join() || "none";
}

const PIECES = ["control", "agents", "gateway", "catalogue", "instances"] as const;

function processesSay(stage: Stage, file: string): ReadonlyMap<string, string> {
  const pids = PIECES.flatMap((piece) => stage.platform.pids(piece));
  return new Map(pids.map((pid) => [`${pid}`, readFileSync(`/proc/${pid}/${file}`, "latin1")]));
}

function passwords({ attacker, victim, first, second }: Stage): readonly string[] {
  return [attacker, victim, first, second].map(({ connection }) => connection.password);
}

export const HOSTS = platformFamily("hosts", ["none"], {
  servers_share_nothing: async (stage) => {
    const found = servers(stage);
    const places = new Set(found.flatMap(({ data, socket }) => [data, socket]));
    return places.size === 2 * found.length && found.length >= 3 ? "none" : "shared";
  },
  users_are_apart: {
    attack: async (stage) => {
      const uids = servers(stage).map(({ uid }) => uid);
      return new Set(uids).size === uids.length && !uids.includes(0) ? "none" : "shared";
    },
    asRoot: true,
  },
  read_data: refused(({ data }) => ["ls", data]),
  read_table: refused(({ data }) => ["cat", join(data, "PG_VERSION")]),
  write_data: refused(({ data }) => ["touch", join(data, "postgresql.auto.conf")]),
  link_data: refused(({ data }) => ["ln", "-s", "/etc/passwd", join(data, "planted")]),
  read_socket: refused(({ socket }) => ["ls", socket]),
  connect_socket: refused(({ socket }) => ["stat", join(socket, ".s.PGSQL.5432")]),
  read_environment: refused(({ pid }) => ["cat", `/proc/${pid}/environ`]),
  read_memory: refused(({ pid }) => ["cat", `/proc/${pid}/maps`]),
  read_root: refused(({ pid }) => ["ls", `/proc/${pid}/root/`]),
  kill_server: refused(({ pid }) => ["kill", "-0", `${pid}`]),
  read_agent: {
    attack: async (stage) => {
      const [agent = ""] = filesUnder(join(stage.platform.home, "state"), /^root-password$/);
      return asFirst(stage, () => ["cat", agent]);
    },
    safe: ["denied"],
    asRoot: true,
  },
  modes: async (stage) => {
    const places = servers(stage).flatMap(({ data, socket }) => [data, socket]);
    return places.every((place) => (statSync(place).mode & 0o077) === 0) ? "none" : "open";
  },
  network: async (stage) => {
    const [row] = await queryOnce(stage.first.connection.uri, "show listen_addresses");
    return row?.listen_addresses === "" ? "none" : "open";
  },
  other_tenants: async (stage) => {
    const text = "select rolname as name from pg_roles where rolname like 'ten\\_%'";
    const rows = await queryOnce(stage.first.connection.uri, text);
    return rows.every(({ name }) => name === stage.first.connection.user) ? "none" : "shown";
  },
  customers_names: async (stage) => {
    const names = `select coalesce(string_agg(rolname, ' '), '') ||
      coalesce((select string_agg(nspname, ' ') from pg_namespace), '') ||
      coalesce((select string_agg(datname, ' ') from pg_database), '') as names from pg_roles`;
    const [row] = await queryOnce(stage.attacker.connection.uri, names);
    return /victim|attacker|first-co|second-co/.test(row?.names) ? "shown" : "none";
  },
  secrets_in_arguments: async (stage) => leaksOf(processesSay(stage, "cmdline"), passwords(stage)),
  secrets_in_environments: async (stage) =>
    leaksOf(processesSay(stage, "environ"), passwords(stage)),
  secrets_in_logs: async (stage) => {
    const logs = filesUnder(stage.platform.home, /\.log$/).map(
      (path) => [path, readFileSync(path, "latin1")] as const,
    );
    const secrets = [...passwords(stage), stage.platform.key, stage.key, "SCRAM-SHA-256$"];
    return logs.length > 0 ? leaksOf(new Map(logs), secrets) : "no log";
  },
  secrets_in_files: async (stage) => {
    const secret = filesUnder(stage.platform.home, /^root-password$|[.]key$|^platform-key$/);
    const open = secret.filter((path) => (statSync(path).mode & 0o077) !== 0);
    return secret.length > 0 ? open.join() || "none" : "no file";
  },
});
