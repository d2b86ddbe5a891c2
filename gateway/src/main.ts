/** `aerodb gateway`: joins if it has not, serves until it is asked to stop. */
import { ensureIdentity } from "@aerodb/identity";
import {
  announceReady,
  armFailpoints,
  createLogger,
  exitAfter,
  onReload,
  stopRequested,
} from "@aerodb/runtime";
import { readGatewayConfiguration } from "./config.ts";
import { startGateway } from "./gateway.ts";

async function main(): Promise<void> {
  const configuration = readGatewayConfiguration();
  const logger = createLogger("gateway", configuration.logLevel);
  armFailpoints(configuration.failpoints);
  const stop = stopRequested();
  const joining = new AbortController();
  void stop.then(() => joining.abort());
  const { home: directory, apiAddress, joinToken, name } = configuration;
  const identity = await ensureIdentity({
    directory,
    kind: "gateway",
    apiAddress,
    joinToken,
    name,
    waits: (because) => logger.warn({ because }, "has not joined yet: tries again"),
    signal: joining.signal,
  }).catch((error: unknown) => {
    if (!joining.signal.aborted) throw error;
  });
  // Asked to stop before it had joined.
  if (identity === undefined) return;
  const gateway = await startGateway(configuration, identity, logger);
  const { restPort, pgPort, pgPooledPort, caFile } = gateway;
  onReload(() => void gateway.readAgain());
  announceReady({ restPort, pgPort, pgPooledPort, caFile });
  logger.info({ restPort, pgPort, pgPooledPort, gatewayId: identity.id }, "serves");
  logger.info({ because: await stop }, "stops");
  await gateway.stop();
}

exitAfter(main());
