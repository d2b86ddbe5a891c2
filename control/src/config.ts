/** What control can be told from outside: one typed value, read once. */
import { readConfiguration } from "@aerodb/runtime";
import { z } from "zod";

const PREFIX = "AERODB_CONTROL_";

const port = z.coerce.number().int().min(0).max(65_535);
const words = z
  .string()
  .transform((text) => text.split(",").map((word) => word.trim()))
  .transform((list) => list.filter((word) => word !== ""));

const schema = z.object({
  /** The catalogue: `postgres://user:password@host:port/database`. */
  catalogueUrl: z.string().min(1),
  /** Connections to the catalogue that requests share. */
  catalogueConnections: z.coerce.number().int().min(2).max(200).default(10),
  /** Directory of the certificate authority. */
  home: z.string().min(1).default(".aerodb/control"),
  /** Encrypts the key of the certificate authority at rest. */
  caPassphrase: z.string().min(12).optional(),
  listenAddress: z.string().min(1).default("127.0.0.1"),
  /** Where the API is served; 0 takes any free port. */
  apiPort: port.default(9090),
  /** Where agents and gateways dial their streams. */
  linkPort: port.default(9091),
  /** `host:port` that joiners are told to dial; this machine's own when left out. */
  linkAddress: z.string().min(3).optional(),
  /** `host:port` of the API that joiners are told; this machine's own when left out. */
  apiAddress: z.string().min(3).optional(),
  /** How long certificates of hosts, gateways and control are good for; parts of a day too. */
  certificateDays: z.coerce.number().positive().max(398).default(7),
  /** Further names and addresses in the server certificate. */
  names: words.default([]),
  /** A key with every right that is in force as long as it stands here. */
  platformKey: z.string().min(16).max(256).optional(),
  /** How many instances of each plan a host keeps running for tenants to come. */
  warmInstances: z.coerce.number().int().min(0).max(50).default(2),
  /** What a tenant's endpoint ends with. */
  baseDomain: z.string().min(1).default("localhost"),
  /** Where tenants reach Postgres through a gateway. */
  publicHost: z.string().min(1).default("127.0.0.1"),
  publicPort: z.coerce.number().int().min(1).max(65_535).default(6432),
  publicPooledPort: z.coerce.number().int().min(1).max(65_535).default(6543),
  /** After how many seconds an alert is opened of a tenant that is not reached. */
  unreachableSeconds: z.coerce.number().min(1).max(86_400).default(60),
  /** Where metrics are shown, to anybody who can reach it; port 0: nowhere. */
  metricsPort: port.default(0),
  metricsListenAddress: z.string().min(1).default("127.0.0.1"),
  /** Whether metrics show tenants that were down this month, each with its id. */
  metricsTenants: z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .default(false),
  /** How many days after a month its invoices are closed. */
  invoiceGraceDays: z.coerce.number().min(0).max(25).default(3),
  /** How many hours at a quota suspend a tenant; parts of an hour too. Never when left out. */
  quotaGraceHours: z.coerce.number().min(0).max(87_600).optional(),
  /** Who bills, as it stands on invoices: lines with `\\n` between. The base domain by default. */
  invoiceIssuer: z
    .string()
    .min(1)
    .max(500)
    .transform((text) => text.replaceAll("\\n", "\n"))
    .optional(),
  /** A secret key of Stripe, which then collects what invoices ask for. */
  stripeKey: z.string().min(8).optional(),
  /** Another place than Stripe's own. */
  stripeUrl: z.url({ protocol: /^https?$/ }).optional(),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  /** Steps at which a test breaks the process. */
  failpoints: z.string().default(""),
});

export type ControlConfiguration = z.infer<typeof schema>;

/** Reads control's configuration, and takes what it read out of the environment. */
export function readControlConfiguration(
  environment: Record<string, string | undefined> = process.env,
): ControlConfiguration {
  return readConfiguration(schema, { prefix: PREFIX, environment });
}
