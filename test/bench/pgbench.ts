/** Load by pgbench, through the unix socket of an instance. */
import { availableParallelism } from "node:os";
import { DATABASE, ROOT_ROLE, SOCKET_PORT } from "@aerodb/postgres";
import { isInstalled, run } from "../program.ts";
import type { BenchHost, BenchInstance } from "./bench-host.ts";

const SCHEMA = "bench";
const DEADLINE_MS = 600_000;
const ROWS = 100_000;
/** Work for the server, and next to none for whoever asks: a thousand rows, one number of them. */
const READS = [
  `\\set from random(1, ${ROWS} - 1000)`,
  "select sum(abalance) from pgbench_accounts where aid between :from and :from + 999;",
];

/** Why a bench cannot have its load here; undefined when it can. */
export function pgbenchMissing(): string | undefined {
  if (isInstalled("pgbench")) return undefined;
  return "pgbench is not installed (Debian: postgresql-contrib)";
}

/** The script above, which pgbench is given as its input. */
export const READ_MUCH = ["--file", "-"];

/** Who asks, and where its tables are. The superuser when left out. */
export interface Asker {
  readonly user: string;
  readonly password: string;
  readonly schema: string;
}

export interface Load {
  readonly asker?: Asker;
  readonly seconds: number;
  readonly clients: number;
  /** READ_MUCH, or of pgbench's own: `-N` writes, with `-C` each has a session of its own. */
  readonly words: readonly string[];
  /** What `--file -` is, one statement or meta-command a line. */
  readonly script?: readonly string[];
  /** Whether the program itself takes no processor time that others want: its server still does. */
  readonly yields?: boolean;
}

/** Makes the tables, `scale` times 100 000 rows. */
export async function prepareLoad(
  host: BenchHost,
  { running }: BenchInstance,
  scale: number,
  asker?: Asker,
): Promise<void> {
  const client = await host.connect(running);
  if (asker === undefined) await client.query(`create schema if not exists ${SCHEMA}`);
  await client.end();
  const words = ["--initialize", "--quiet", "--scale", `${scale}`];
  await pgbench(host, running.socketDirectory, words, { asker });
}

/** Transactions a second, without the time to connect unless each has a session of its own. */
export async function applyLoad(
  host: BenchHost,
  { running }: BenchInstance,
  load: Load,
): Promise<number> {
  const threads = Math.min(load.clients, availableParallelism());
  const words = [
    ...["--client", `${load.clients}`, "--jobs", `${threads}`, "--time", `${load.seconds}`],
    ...["--no-vacuum", "--protocol", "prepared", ...load.words],
  ];
  const said = await pgbench(host, running.socketDirectory, words, load);
  const [, tps] = /^tps = ([\d.]+)/m.exec(said) ?? [];
  if (tps === undefined) throw new Error(`pgbench said no rate:\n${said}`);
  return Number(tps);
}

async function pgbench(
  { rootPassword }: BenchHost,
  socketDirectory: string,
  words: readonly string[],
  how: Pick<Load, "script" | "yields"> & { readonly asker?: Asker | undefined },
): Promise<string> {
  const { asker, script = READS, yields = false } = how;
  const root = { user: ROOT_ROLE, password: rootPassword, schema: SCHEMA };
  const { user, password, schema } = asker ?? root;
  const where = ["--host", socketDirectory, "--port", `${SOCKET_PORT}`];
  const program = ["nice", "-n", yields ? "19" : "0", "pgbench"];
  const [first = "", ...rest] = [...program, ...where, "--username", user, ...words, DATABASE];
  const ended = await run(first, rest, {
    environment: { PGPASSWORD: password, PGOPTIONS: `-c search_path=${schema}` },
    deadlineMs: DEADLINE_MS,
    input: script.join("\n"),
  });
  if (ended.code !== 0) throw new Error(`pgbench ended with ${ended.code}: ${ended.stderr}`);
  return ended.stdout;
}
