/** What an agent is told when it starts: one typed value, read once. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { readConfiguration } from "@aerodb/runtime";
import { z } from "zod";

const UIDS_PER_AGENT = 10_000;
const FIRST_UID = 70_000;
const UID_RANGES = 100;

const LOG_LEVEL =
  /^\s*AERODB_AGENT_LOG_LEVEL=["']?(trace|debug|info|warn|error|fatal|silent)["']?\s*$/;

const port = z.coerce.number().int().min(0).max(65_535);
const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const list = z.string().transform((text) => text.split(",").filter((each) => each !== ""));

const Schema = z.object({
  /** Directory of everything the agent keeps. */
  home: z.string().min(1),
  /** `host:port` of control's API, asked once for an identity. */
  apiAddress: z
    .string({ error: "name control, as in --control control.example.com:9090" })
    .regex(/^[^\s/]+:\d+$/, "must be host:port, as in --control control.example.com:9090"),
  joinToken: z.string().optional(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "must be 63 letters, digits, -, _ and . at most")
    .default(hostname().slice(0, 63)),
  /** Where gateways are served; port 0 takes any that is free. */
  edgePort: port.default(0),
  edgeListenAddress: z.string().min(1).default("127.0.0.1"),
  /** What gateways elsewhere dial instead of the listen address. */
  edgeAdvertiseAddress: z.string().min(1).optional(),
  /** Where engines and templates are made; agents of one machine may share it. */
  engineDirectory: z.string().min(1).optional(),
  /** Directories with installed engines, separated by commas. */
  engines: list.default([]),
  /** Whether an engine under the version floor is refused. */
  production: flag.default(false),
  /** What runs instances. */
  driver: z.enum(["process", "container"]).default("process"),
  /** Where Docker listens, for the container driver. */
  dockerSocket: z.string().min(1).default("/var/run/docker.sock"),
  /** An image with Postgres in it instead of the host's engines; `{major}` is the major version. */
  image: z.string().min(1).optional(),
  /** Users that instances run as when the agent is root: `uidCount` of them from `uidBase`. */
  uidBase: z.coerce.number().int().min(1_000).optional(),
  uidCount: z.coerce.number().int().min(1).default(UIDS_PER_AGENT),
  /** Where metrics are shown, to anybody who can reach it; port 0: nowhere. */
  metricsPort: port.default(0),
  metricsListenAddress: z.string().min(1).default("127.0.0.1"),
  /** Whether metrics show the tenants of shared instances, each with its id. */
  metricsTenants: flag.default(false),
  /** What servers are put into; the best that works on this machine when left out. */
  sandbox: z.enum(["bubblewrap", "unshare", "none"]).optional(),
  /** How often everything is looked at, whether or not anybody said that something changed. */
  checkSeconds: z.coerce.number().min(1).max(3_600).default(45),
  /** How long a server may answer nobody before it is ended and started again. */
  hungAfterSeconds: z.coerce.number().min(1).max(3_600).default(30),
  logLevel: z.string().default("info"),
  /** File with these settings, one a line; of it the log level is read again on SIGHUP. */
  settingsFile: z.string().min(1).optional(),
  failpoints: z.string().default(""),
});

export interface AgentConfig extends Omit<z.infer<typeof Schema>, "engineDirectory" | "uidBase"> {
  readonly engineDirectory: string;
  readonly uidBase: number;
}

/** Reads the configuration and takes it out of the environment. */
export function readConfig(environment = process.env): AgentConfig {
  const read = readConfiguration(Schema, { prefix: "AERODB_AGENT_", environment });
  const home = resolve(read.home);
  return {
    ...read,
    home,
    engineDirectory: resolve(read.engineDirectory ?? join(home, "engines")),
    uidBase: read.uidBase ?? defaultUidBase(home),
  };
}

/** The log level that a settings file says now; undefined when it says none that is known. */
export function readLogLevel(file: string): string | undefined {
  const lines = readFileSync(file, "utf8").split("\n");
  const [, level] = lines.flatMap((line) => LOG_LEVEL.exec(line) ?? []);
  return level;
}

/** Agents on one machine should not share users: each home falls into its own range, as a rule. */
function defaultUidBase(home: string): number {
  const hash = createHash("sha256").update(home).digest().readUInt32BE(0);
  return FIRST_UID + (hash % UID_RANGES) * UIDS_PER_AGENT;
}
