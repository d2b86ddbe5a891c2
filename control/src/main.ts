/**
 * `aerodb control`: opens everything in order, serves until it is asked to stop, closes cleanly.
 */
import { join } from "node:path";
import { HeldKeys } from "@aerodb/identity";
import { type CertificateAuthority, openCertificateAuthority } from "@aerodb/identity/authority";
import { messageOf } from "@aerodb/model";
import {
  announceReady,
  armFailpoints,
  createLogger,
  exitAfter,
  type Logger,
  now,
  stopRequested,
  within,
} from "@aerodb/runtime";
import { type MetricsServer, serveMetrics } from "@aerodb/wire";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { type Application, openApplication } from "./api/application.ts";
import { HealthState } from "./api/health.ts";
import { apiRouterOptions, apiRoutes, PLATFORM_SERVICES } from "./api/routes.ts";
import { startChanges } from "./app/changes.ts";
import type { Control } from "./app/control.ts";
import { openFleet } from "./app/fleet.ts";
import { recordCertificate } from "./app/identities.ts";
import { createJoinToken, join as joinPlatform } from "./app/joining.ts";
import { ensureBootstrapKey, findKey } from "./app/keys.ts";
import { readPlatformMetrics } from "./app/platform-metrics.ts";
import { type JoiningDesk, openJoiningDesk } from "./auth/joining-desk.ts";
import { type ControlConfiguration, readControlConfiguration } from "./config.ts";
import { AgentLink } from "./link/agent-link.ts";
import { IdentityLink } from "./link/identity-link.ts";
import { startLinkServer } from "./link/link-server.ts";
import { RouteLink } from "./link/route-link.ts";
import { openCatalogue } from "./open-catalogue.ts";
import { startJobs } from "./reconcilers/jobs.ts";
import type { ApiHandler } from "./server/api-handler.ts";
import { startApiServer } from "./server/api-server.ts";
import { keepOwnCertificate, ownCertificate, reachableAddress } from "./server/own-certificate.ts";
import { makeUsageMonths } from "./store/usage-records.ts";

/** A stop takes no longer than the last of these. */
const API_GRACE_MS = 1_500;
const LINK_GRACE_MS = 500;
const STOP_MS = 2_500;
const DAY_MS = 86_400_000;
/** How long before its end an authority is spoken of. */
const WARNED_OF_DAYS = 365;

interface RunningControl {
  readonly apiPort: number;
  readonly linkPort: number;
  /** Says that nothing serves any more, lets what runs end for a moment, and closes everything. */
  readonly close: () => Promise<void>;
}

async function main(): Promise<void> {
  const configuration = readControlConfiguration();
  const logger = createLogger("control", configuration.logLevel);
  armFailpoints(configuration.failpoints);
  const stop = stopRequested();
  const { apiPort, linkPort, close } = await startControl(configuration, logger);
  logger.info({ apiPort, linkPort }, "serves");
  announceReady({ apiPort, linkPort });
  logger.info({ because: await stop }, "stops");
  await close();
}

async function startControl(
  configuration: ControlConfiguration,
  logger: Logger,
): Promise<RunningControl> {
  const { listenAddress: host, catalogueUrl: url } = configuration;
  const over = new AbortController();
  const routes = new RouteLink({ logger });
  const control = await openControl(configuration, { logger, routes, signal: over.signal });
  const fleet = openFleet(control);
  const agents = new AgentLink({ fleet, logger });

  const authority = await openCertificateAuthority(
    join(configuration.home, "ca"),
    configuration.caPassphrase,
  );
  warnOfItsEnd(authority, logger);
  const { certificateDays } = configuration;
  const names = [host, ...configuration.names];
  const keys = new HeldKeys(await ownCertificate(authority, names, certificateDays));
  const own = { authority, names, validForDays: certificateDays };
  const renewing = keepOwnCertificate(keys, { ...own, logger, signal: over.signal });

  // Known once the ports are; before, nobody asks.
  const addresses = { linkAddress: "", apiAddress: "" };
  const desk = openDesk(control, authority, { addresses, certificateDays });
  const { requireStanding } = fleet;
  const link = await startLinkServer({
    bind: { host, port: configuration.linkPort, flag: "--link-port (AERODB_LINK_PORT)" },
    identities: new IdentityLink({ desk, requireStanding, logger }),
    ...{ identity: keys, agents, routes },
  });
  addresses.linkAddress = configuration.linkAddress ?? reachableAddress(host, link.port);
  const following = routes.follow(fleet, over.signal);

  const application = openApplication(control, agents, {
    sign: (text) => authority.sign(text),
    keyId: authority.fingerprint,
  });
  const health = healthOf(application);
  const api = await startApiServer({
    bind: { host, port: configuration.apiPort, flag: "--grpc-port (AERODB_GRPC_PORT)" },
    tls: keys.current,
    handler: handlerOf(control, { application, desk, health }),
    logger,
  });
  keys.onReplaced((current) => api.showCertificate(current));
  addresses.apiAddress = configuration.apiAddress ?? reachableAddress(host, api.port);
  const jobs = startJobs(control, { url });
  const metrics = await openMetrics(configuration, control);

  async function close(): Promise<void> {
    health.stop();
    metrics?.close();
    await Promise.all([api.close(API_GRACE_MS), link.close(LINK_GRACE_MS), jobs.stop()]);
    over.abort();
    await Promise.all([following, renewing.ended]);
    await control.database.close();
  }
  return {
    ...{ apiPort: api.port, linkPort: link.port },
    async close() {
      // What has not ended by then ends with the process; the catalogue undoes what it did not
      // commit.
      await within({ ms: STOP_MS, expecting: "control to close" }, close()).catch((error) => {
        logger.warn({ because: messageOf(error) }, "did not close in time");
      });
    },
  };
}

async function openControl(
  configuration: ControlConfiguration,
  around: { readonly logger: Logger; readonly routes: RouteLink; readonly signal: AbortSignal },
): Promise<Control> {
  const { catalogueUrl: url, catalogueConnections: maxConnections } = configuration;
  const { baseDomain, publicHost, warmInstances, platformKey } = configuration;
  const { publicPort, publicPooledPort } = configuration;
  const { logger, routes, signal } = around;
  const database = await openCatalogue({ url, maxConnections, logger });
  // After a long time away nothing else has made room for this month.
  await makeUsageMonths(database);
  const control: Control = {
    database,
    changes: await startChanges({ url, logger, signal }),
    acknowledgements: routes,
    settings: {
      ...{ baseDomain, publicHost, publicPort, publicPooledPort, warmInstances },
      unreachableSeconds: configuration.unreachableSeconds,
      ...invoiceSettings(configuration),
      ...graceSettings(configuration),
    },
    logger,
    ...(await paymentsOf(configuration)),
  };
  if (platformKey !== undefined) await ensureBootstrapKey(control, platformKey);
  return control;
}

/** Undefined where metrics are not shown. */
async function openMetrics(
  { metricsPort: port, metricsListenAddress: listenAddress, metricsTenants }: ControlConfiguration,
  control: Control,
): Promise<MetricsServer | undefined> {
  if (port === 0) return undefined;
  const { METRICS_CONTENT_TYPE: contentType, renderMetrics } = await import("./server/metrics.ts");
  return serveMetrics({
    ...{ port, listenAddress, variable: "AERODB_CONTROL_METRICS_PORT", contentType },
    render: async () => renderMetrics(await readPlatformMetrics(control), metricsTenants),
  });
}

function invoiceSettings({ invoiceGraceDays, invoiceIssuer }: ControlConfiguration) {
  return { invoiceGraceDays, ...(invoiceIssuer === undefined ? {} : { invoiceIssuer }) };
}

function graceSettings({ quotaGraceHours: hours }: ControlConfiguration) {
  return hours === undefined ? {} : { quotaGraceSeconds: Math.round(hours * 3_600) };
}

/** Loaded where it is used only: it is a large library. */
async function paymentsOf({ stripeKey, stripeUrl }: ControlConfiguration) {
  if (stripeKey === undefined) return {};
  const { stripeProvider } = await import("./payments/stripe.ts");
  const url = stripeUrl === undefined ? {} : { url: stripeUrl };
  return { payments: stripeProvider({ key: stripeKey, ...url }) };
}

function openDesk(
  control: Control,
  authority: CertificateAuthority,
  settings: {
    readonly addresses: { readonly linkAddress: string; readonly apiAddress: string };
    readonly certificateDays: number;
  },
): JoiningDesk {
  return openJoiningDesk(
    {
      createJoinToken: (caller, ask) => createJoinToken(control, caller, ask),
      join: (request) => joinPlatform(control, request),
      recordCertificate: (certificate) => recordCertificate(control, certificate),
    },
    authority,
    settings,
  );
}

/**
 * Whoever joined trusts the authority by name: replacing it takes as long as a certificate lives.
 */
function warnOfItsEnd({ expiresAt }: CertificateAuthority, logger: Logger): void {
  const leftDays = (expiresAt.getTime() - now().getTime()) / DAY_MS;
  if (leftDays > WARNED_OF_DAYS) return;
  const sentence = "the certificate authority ends: put the next one into also-trusted.pem";
  logger.warn({ expiresAt }, sentence);
}

function healthOf(application: Application): HealthState {
  const isReady = async (): Promise<boolean> => (await application.checkReadiness()).ready;
  return new HealthState(isReady, PLATFORM_SERVICES);
}

function handlerOf(
  control: Control,
  parts: {
    readonly application: Application;
    readonly desk: JoiningDesk;
    readonly health: HealthState;
  },
): ApiHandler {
  const options = {
    ...parts,
    findKey: (presented: string) => findKey(control, presented),
    logger: control.logger,
  };
  return connectNodeAdapter({ ...apiRouterOptions(options), routes: apiRoutes(options) });
}

exitAfter(main());
