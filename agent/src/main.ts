/** The agent: makes what runs on its host equal to what control desires. */
import { randomUUID } from "node:crypto";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import {
  controlClient,
  ensureIdentity,
  HeldKeys,
  keepRenewed,
  peerOfCall,
  serverCredentials,
} from "@aerodb/identity";
import { Fault, type InstanceId, messageOf } from "@aerodb/model";
import { type Hello, HelloSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import {
  announceReady,
  armFailpoints,
  createLogger,
  exitAfter,
  type Logger,
  onReload,
  stopRequested,
} from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { type AgentConfig, readConfig, readLogLevel } from "./config.ts";
import type { InstanceDriver } from "./drivers/driver.ts";
import { ProcessDriver, type ProcessDriverOptions } from "./drivers/process/process-driver.ts";
import { serveEdge } from "./edge.ts";
import { FingerprintWatch } from "./fingerprint/fingerprint-watch.ts";
import { clearHome, lockHome, openHome } from "./home.ts";
import { Host } from "./host.ts";
import { platformMemoryBytes } from "./limits/group-limits.ts";
import { meterLogin } from "./meter/meter-login.ts";
import { openLink } from "./open-link.ts";
import { ensureRootPassword } from "./root-password.ts";
import { EngineShelf } from "./storage/engine-shelf.ts";
import { TenantsInInstances } from "./tenants-in-instance.ts";

const VERSION = "0.1.0";
/** Shared instances are asked for something all the time, dedicated ones hardly ever. */
const SESSIONS_KEPT_SHARED = 2;
/** In one that waits for its tenant, who then need not wait for a session. */
const SESSIONS_KEPT_WARM = 1;
/** What every host should be ready for before the first instance is asked for. */
const USUAL_MAJOR = 18;

async function main(): Promise<void> {
  const config = readConfig();
  armFailpoints(config.failpoints);
  const logger = createLogger("agent", config.logLevel);
  const stopping = new AbortController();
  const reason = stopRequested().then((why) => {
    stopping.abort(new Fault("UNAVAILABLE", "The agent is stopping."));
    return why;
  });

  onReload(() => reload(config, logger));
  openHome(config.home);
  const lock = lockHome(config.home);
  clearHome(config.home);
  const host = await openHost(config, logger, stopping.signal);
  await host.start();
  const closeMetrics = await openMetrics(host, config);
  await serve(host, config, logger, stopping.signal);
  const why = await reason;
  logger.info({ why }, "stopping");
  closeMetrics();
  if (why === "shut_down") await host.stopInstances();
  host.close();
  lock.release();
}

/** Reads again what may change while the agent runs. */
function reload({ settingsFile }: AgentConfig, logger: Logger): void {
  if (settingsFile === undefined) return;
  try {
    const level = readLogLevel(settingsFile);
    if (level !== undefined) logger.level = level;
    logger.info({ level: logger.level }, "read the settings again");
  } catch (error) {
    logger.warn({ because: messageOf(error) }, "could not read the settings again");
  }
}

/** Resolves once the signal was aborted. */
async function serve(
  host: Host,
  config: AgentConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  try {
    await openDoors(host, config, logger, signal);
  } catch (error) {
    if (!signal.aborted) throw error; // Asked to stop before it had joined.
  }
}

async function openHost(config: AgentConfig, logger: Logger, signal: AbortSignal): Promise<Host> {
  const { home, engineDirectory } = config;
  const rootPassword = ensureRootPassword(home, engineDirectory);
  const search = searchOf(config);
  const shelf = new EngineShelf({ directory: engineDirectory, search, rootPassword });
  const uids = { base: config.uidBase, count: config.uidCount };
  const driver = await openDriver(config, { home, shelf, uids, logger }, signal);
  driver.prepare(USUAL_MAJOR).catch((error: unknown) => logger.warn(messageOf(error)));
  return new Host({
    home,
    driver,
    tenants: (state) => {
      const isShared = (id: InstanceId) => state.instance(id)?.spec.shared ?? false;
      const keep = (id: InstanceId) => {
        if (isShared(id)) return SESSIONS_KEPT_SHARED;
        return state.instance(id) === undefined ? SESSIONS_KEPT_WARM : 0;
      };
      const memoryOf = (id: InstanceId) => {
        const spec = state.instance(id)?.spec;
        return spec?.shared === true ? platformMemoryBytes(spec) : undefined;
      };
      const giveWay: InstanceDriver["giveWay"] = (running, pid) => driver.giveWay(running, pid);
      const whom = { keep, isShared, memoryOf, giveWay };
      return new TenantsInInstances({ password: rootPassword, ...whom, logger });
    },
    meterLogin: meterLogin(rootPassword),
    hung: { afterMs: config.hungAfterSeconds * 1_000 },
    checkMs: config.checkSeconds * 1_000,
    logger,
    signal,
  });
}

/** What only one driver takes stays out of the memory of agents with another. */
async function openDriver(
  config: AgentConfig,
  options: ProcessDriverOptions,
  signal: AbortSignal,
): Promise<InstanceDriver> {
  const { dockerSocket, image, production } = config;
  switch (config.driver) {
    case "process":
      return new ProcessDriver({ ...options, sandbox: config.sandbox });
    case "container": {
      const { ContainerDriver } = await import("./drivers/container/container-driver.ts");
      return new ContainerDriver({ ...options, dockerSocket, image, production, signal });
    }
  }
}

/** Shows what is measured, where the configuration says so. */
async function openMetrics(host: Host, config: AgentConfig): Promise<() => void> {
  const { metricsPort: port, metricsListenAddress: listenAddress, metricsTenants } = config;
  if (port === 0) return () => undefined;
  const { board } = host.sampler;
  const options = { board, port, listenAddress, tenants: metricsTenants, version: VERSION };
  // Nor what shows metrics of agents that show none.
  const { showMetrics } = await import("./meter/metrics-server.ts");
  return (await showMetrics(options)).close;
}

/** Serves gateways and dials control until the signal is aborted. */
async function openDoors(
  host: Host,
  config: AgentConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  // Found out while the agent joins.
  const watching = FingerprintWatch.open({ ...config, search: searchOf(config), logger });
  const joining = {
    directory: join(config.home, "identity"),
    kind: "host",
    apiAddress: config.apiAddress,
    joinToken: config.joinToken,
    name: config.name,
    waits: (because: string) => logger.warn({ because }, "has not joined yet: tries again"),
    signal,
  } as const;
  const identity = await ensureIdentity(joining).catch(async (error: unknown) => {
    // Whoever is refused leaves nothing in the home of what was tried meanwhile.
    await watching.catch(() => undefined);
    clearHome(config.home);
    throw error;
  });
  const keys = new HeldKeys(identity);
  const { id } = keys.current;
  const edge = await serveEdge({
    wakings: host.wakings,
    credentials: serverCredentials(keys),
    listenAddress: config.edgeListenAddress,
    port: config.edgePort,
    isGateway: (call) => peerOfCall(call)?.kind === "gateway",
  });
  const client = controlClient(keys);
  const renewing = keepRenewed({ ...joining, keys, client, logger });
  const facts = await watching;
  const hello = helloOf(config, edge.port, facts);
  const link = openLink({ host, client, hello, logger, signal });
  facts.onChange(() => link.sendFingerprint(facts.current));
  facts.run(signal);
  onReload(() => void facts.takeAgain());
  announceReady({ edgePort: edge.port });
  // Else an agent that is killed leaves the next to compile again, which then holds the compiler.
  flushCompileCache();
  logger.info({ host: id, edgePort: edge.port }, "the agent serves");
  await Promise.all([link.run(), renewing.ended]);
  edge.close();
}

function helloOf(
  config: AgentConfig,
  edgePort: number,
  facts: FingerprintWatch,
): (generation: bigint) => Hello {
  const edgeHost = config.edgeAdvertiseAddress ?? config.edgeListenAddress;
  const edgeAddress = `${edgeHost}:${edgePort}`;
  const processId = randomUUID();
  return (generation) =>
    create(HelloSchema, {
      agentVersion: VERSION,
      edgeAddress,
      fingerprint: facts.current,
      generation,
      processId,
    });
}

function searchOf(config: AgentConfig) {
  return { binDirectories: config.engines, production: config.production };
}

exitAfter(main());
