/** A gateway's configuration for tests: any free ports, no limits, short deadlines. */
import { join } from "node:path";
import type { GatewayConfiguration } from "./config.ts";

/** In a home below a directory of the test's. */
export function throwawayConfiguration(
  directory: string,
  changes: Partial<GatewayConfiguration>,
): GatewayConfiguration {
  return {
    home: join(directory, "gateway"),
    apiAddress: "127.0.0.1:1",
    name: "test",
    restPort: 0,
    pgPort: 0,
    pgPooledPort: 0,
    ...{ poolSize: 4, poolClients: 1_000, poolWaitMs: 10_000 },
    ...{ waitForClientsMs: 0, drainMs: 500 },
    ...{ halfOpen: 2_000, halfOpenPerSource: 0, ratePerSource: 0, ratePerTenant: 0 },
    ...{ idleTimeoutMs: 0, poolIdleInTransactionMs: 0 },
    ...{ metricsPort: 0, metricsListenAddress: "127.0.0.1", metricsTenants: false },
    listenAddress: "127.0.0.1",
    baseDomain: "localhost",
    wakeDeadlineMs: 10_000,
    watchSeconds: 60,
    ...{ handshakeDeadlineMs: 1_000, authenticationDeadlineMs: 10_000 },
    logLevel: "silent",
    failpoints: "",
    ...changes,
  };
}
