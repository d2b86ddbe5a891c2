/**
 * What the environment says: the one place that reads it. Variables that start with AERODB_ are
 * taken out while they are read, so that no child inherits a secret it has no use for.
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { readConfiguration } from "@aerodb/runtime";
import { z } from "zod";

const PREFIX = "AERODB_";

function port(flag: string) {
  const wrong = `must be a port from 1 to 65535 (or give ${flag})`;
  return z.coerce.number(wrong).int(wrong).min(1, wrong).max(65_535, wrong);
}

const AGENTS = "must be a number of agents from 1 to 50 (or give --agents)";
const KEY = "must have at least 16 characters, none of them blank";
const LEVEL = "must be one of error, warn, info, debug, trace, silent";
const HOME = "must name a directory";
const CATALOGUE = "must be a URL like postgres://user:password@host/database";
const ENGINES = "must name a directory that other users may pass";
const NAME = "must be of a-z, 0-9 and hyphens, with a letter first";
const DRIVER = "must be process or container";
const DOMAIN = "must be a domain name such as example.com";

/** What the verbs over the API read. */
const verbSchema = z.object({
  home: z.string().default(".aerodb"),
  url: z.string().optional(),
  key: z.string().optional(),
  platformKey: z.string().optional(),
});

/** What `up` reads: its own settings, and those of the verbs, which mean nothing to it. */
const upSchema = z.object({
  home: z.string().min(1, HOME).default(".aerodb"),
  restPort: port("--rest-port").default(8080),
  grpcPort: port("--grpc-port").default(9090),
  pgPort: port("--pg-port").default(6432),
  pgPooledPort: port("--pg-pooled-port").default(6543),
  linkPort: port("--link-port").default(9091),
  agents: z.coerce.number(AGENTS).int(AGENTS).min(1, AGENTS).max(50, AGENTS).default(1),
  region: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,62}$/, NAME)
    .default("us-east-1"),
  baseDomain: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?$/, DOMAIN)
    .default("localhost"),
  platformKey: z
    .string()
    .regex(/^[\x21-\x7e]{16,}$/, KEY)
    .optional(),
  catalogueUrl: z
    .string()
    .regex(/^postgres(ql)?:\/\/[^/]/, CATALOGUE)
    .optional(),
  engineDirectory: z
    .string()
    .min(1, ENGINES)
    .transform((path) => resolve(path))
    .optional(),
  logLevel: z.enum(["error", "warn", "info", "debug", "trace", "silent"], LEVEL).default("info"),
  agentDriver: z.enum(["process", "container"], DRIVER).optional(),
  warmInstances: z.string().optional(),
  gatewayWatchSeconds: z.string().optional(),
  unreachableSeconds: z.string().optional(),
  controlMetricsPort: z.string().optional(),
  invoiceGraceDays: z.string().optional(),
  quotaGraceHours: z.string().optional(),
  invoiceIssuer: z.string().optional(),
  stripeKey: z.string().optional(),
  stripeUrl: z.string().optional(),
  agentDockerSocket: z.string().optional(),
  agentImage: z.string().optional(),
  agentCheckSeconds: z.string().optional(),
  agentHungAfterSeconds: z.string().optional(),
  failpointsControl: z.string().default(""),
  failpointsAgent: z.string().default(""),
  failpointsGateway: z.string().default(""),
  url: z.string().optional(),
  key: z.string().optional(),
});

export type UpSettings = Omit<z.infer<typeof upSchema>, "url" | "key">;

/** What was typed after `up`; what is left out comes from the environment. */
export type UpFlags = Readonly<Partial<Record<keyof UpSettings, string>>>;

export type Environment = Record<string, string | undefined>;

export function readUpSettings(flags: UpFlags, environment: Environment = process.env): UpSettings {
  const { url, key, ...settings } = readConfiguration(upSchema, {
    prefix: PREFIX,
    environment,
    given: flags,
  });
  return { ...settings, home: resolve(settings.home) };
}

export interface VerbSettings {
  readonly home: string;
  readonly url: string | undefined;
  readonly key: string | undefined;
  readonly restPort: string | undefined;
}

/** Reads what a verb needs and leaves variables of others alone. */
export function readVerbSettings(
  flags: { readonly home?: string; readonly url?: string; readonly key?: string },
  environment: Environment = process.env,
): VerbSettings {
  const read = verbSchema.parse({
    home: present(flags.home) ?? present(environment["AERODB_HOME"]),
    url: present(flags.url) ?? present(environment["AERODB_URL"]),
    key:
      present(flags.key) ??
      present(environment["AERODB_KEY"]) ??
      present(environment["AERODB_PLATFORM_KEY"]),
  });
  return {
    home: resolve(read.home),
    url: read.url,
    key: read.key,
    restPort: present(environment["AERODB_REST_PORT"]),
  };
}

function present(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}

/**
 * What any program of ours may inherit. Settings of libpq and of Node would change what it does.
 */
const INHERITED = new RegExp(
  "^(PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_.+|TZ|TMPDIR|XDG_RUNTIME_DIR" +
    "|SSL_CERT_.+|NODE_EXTRA_CA_CERTS|DOCKER_HOST)$",
);

export function inheritedEnvironment(
  environment: Environment = process.env,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => INHERITED.test(entry[0]) && entry[1] !== undefined,
    ),
  );
}

/** Everything but what is ours, for a program the user asked for, such as psql. */
export function userEnvironment(
  environment: Environment = process.env,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => !entry[0].startsWith(PREFIX) && entry[1] !== undefined,
    ),
  );
}

/** How systemd wants to hear of a service; the piece takes its place, and speaks for itself. */
const OF_SERVICES = /^(NOTIFY_SOCKET|WATCHDOG_USEC|WATCHDOG_PID)$/;

/** The variables of one piece, for the verbs that run just that piece. */
export function pieceEnvironment(
  piece: "control" | "agent" | "gateway",
  given: Readonly<Record<string, string | undefined>>,
  environment: Environment = process.env,
): Readonly<Record<string, string>> {
  const prefix = `${PREFIX}${piece.toUpperCase()}_`;
  // control has a default of its own.
  const defaults = piece === "control" ? [] : [[`${prefix}HOME`, pieceHome(piece)]];
  const own = Object.entries(environment).filter(
    ([name]) => name.startsWith(prefix) || OF_SERVICES.test(name),
  );
  const flags = Object.entries(given).map(([key, value]) => [prefix + upperSnake(key), value]);
  return Object.fromEntries(
    [...Object.entries(inheritedEnvironment(environment)), ...defaults, ...own, ...flags].filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}

/** Where a piece that runs alone keeps what it has: paths of sockets below it must stay short. */
export function pieceHome(piece: "agent" | "gateway"): string {
  return process.geteuid?.() === 0
    ? `/var/lib/aerodb/${piece}`
    : join(homedir(), `.aerodb-${piece}`);
}

/** `restPort` as `REST_PORT`. */
export function upperSnake(camel: string): string {
  return camel.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** A path as a person would write it. */
export function shortPath(path: string): string {
  const here = process.cwd();
  if (path === here) return ".";
  if (path.startsWith(`${here}/`)) return `./${path.slice(here.length + 1)}`;
  const home = homedir();
  return home !== "/" && path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}
