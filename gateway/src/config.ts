import { hostname } from "node:os";
import { readConfiguration } from "@aerodb/runtime";
import { z } from "zod";

const port = z.coerce.number().int().min(0).max(65_535);

const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const bound = z.coerce.number().int().min(0).max(1_000_000);

const schema = z.object({
  /** Directory of what the gateway keeps: identity, routes, usage, development certificate. */
  home: z.string().min(1),
  /** `host:port` of control's API. */
  apiAddress: z
    .string({ error: "name control, as in --control control.example.com:9090" })
    .regex(/^[^\s/]+:\d+$/, "must be host:port, as in --control control.example.com:9090"),
  /** Needed until the gateway has joined. */
  joinToken: z.string().optional(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "must be 63 letters, digits, -, _ and . at most")
    .default(hostname().slice(0, 63)),
  /** 0 takes any free port. */
  restPort: port.default(8080),
  pgPort: port.default(6432),
  /** Where clients of a transaction take turns with a few servers. */
  pgPooledPort: port.default(6543),
  /** How many servers the clients of one tenant share on the pooled port at most. */
  poolSize: z.coerce.number().int().min(1).max(10_000).default(32),
  /** How many clients of one tenant the pooled port takes. */
  poolClients: z.coerce.number().int().min(1).max(1_000_000).default(2_000),
  /** How long a client of the pooled port waits for a server. */
  poolWaitMs: z.coerce.number().int().min(100).max(300_000).default(10_000),
  /** How long a client of the pooled port may be silent in a transaction; 0: for ever. */
  poolIdleInTransactionMs: z.coerce.number().int().min(0).max(86_400_000).default(300_000),
  /**
   * Directory of gateways on this machine that listen on the same Postgres ports. Without it a port
   * that is taken is refused.
   */
  siblingsDirectory: z.string().min(1).optional(),
  /** Where metrics are shown, to anybody who can reach it; port 0: nowhere. */
  metricsPort: port.default(0),
  metricsListenAddress: z.string().min(1).default("127.0.0.1"),
  /** Whether metrics show tenants, each with its id. */
  metricsTenants: flag.default(false),
  listenAddress: z.string().default("127.0.0.1"),
  /** Only where the two listeners differ. */
  restListenAddress: z.string().optional(),
  pgListenAddress: z.string().optional(),
  /** Tenants are `<name>.<base domain>`. */
  baseDomain: z.string().min(1).default("localhost"),
  /** PEM files. Without both, a development certificate is made under the home. */
  tlsCertificate: z.string().optional(),
  tlsKey: z.string().optional(),
  /** How long a connection waits for an instance that is down. */
  wakeDeadlineMs: z.coerce.number().int().min(100).max(300_000).default(10_000),
  /** Once in so many seconds it is found out of every tenant whether clients get through. */
  watchSeconds: z.coerce.number().int().min(1).max(60).default(60),
  /** How long a Postgres client may take to say who it is, and then to prove it. */
  handshakeDeadlineMs: z.coerce.number().int().min(100).max(60_000).default(10_000),
  authenticationDeadlineMs: z.coerce.number().int().min(100).max(600_000).default(60_000),
  /** How long a client may rest outside of a transaction; 0: for ever. */
  idleTimeoutMs: z.coerce.number().int().min(0).max(604_800_000).default(0),
  /** How long clients may stay as if nothing were when the gateway is stopped. */
  waitForClientsMs: z.coerce.number().int().min(0).max(86_400_000).default(0),
  /** How long transactions may go on after that. */
  drainMs: z.coerce.number().int().min(0).max(3_600_000).default(500),
  /** Connections of all addresses together that have not logged in, on each port. */
  halfOpen: z.coerce.number().int().min(1).max(1_000_000).default(2_000),
  /** Of one address: connections that have not logged in, and new ones in a second; 0: any. */
  halfOpenPerSource: bound.default(256),
  ratePerSource: bound.default(2_000),
  /** Logins of one tenant in a second; 0: any. */
  ratePerTenant: bound.default(1_000),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  failpoints: z.string().default(""),
});

export type GatewayConfiguration = z.infer<typeof schema>;

/** Reads `AERODB_GATEWAY_*` and takes it out of the environment. */
export function readGatewayConfiguration(): GatewayConfiguration {
  return readConfiguration(schema, { prefix: "AERODB_GATEWAY_", environment: process.env });
}
