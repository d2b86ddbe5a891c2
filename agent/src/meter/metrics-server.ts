/**
 * What is measured, for a collector of metrics that comes by: OpenMetrics over HTTP. It knows no
 * keys, so it listens on loopback unless told otherwise, and names no tenant unless told to.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { entriesOfReadings, Fault, kindOfMetric, METRICS, type MetricName } from "@aerodb/model";
import { Counter, Gauge, type OpenMetricsContentType, Registry } from "prom-client";
import type { Board, BoardRow } from "./board.ts";

export interface MetricsServerOptions {
  readonly board: Board;
  readonly port: number;
  readonly listenAddress: string;
  /** Whether the tenants of shared instances are shown, each with its id. */
  readonly tenants: boolean;
  readonly version: string;
}

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

const CONTENT_TYPE = Registry.OPENMETRICS_CONTENT_TYPE;
/** A collector that sends nothing holds no connection for longer. */
const REQUEST_MS = 5_000;

export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") {
      response.writeHead(404).end("Metrics are at /metrics.\n");
      return;
    }
    renderMetrics(options).then(
      (text) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(text),
      (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
    );
  });
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port, options.listenAddress, resolve);
  try {
    await promise;
  } catch (error) {
    const where = `Port ${options.port} on ${options.listenAddress}`;
    const advice = "choose another with AERODB_AGENT_METRICS_PORT";
    throw new Fault("UNAVAILABLE", `${where} cannot be listened on: ${advice}.`, { cause: error });
  }
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Everything anew for each collector: what is gone leaves no trace. */
export function renderMetrics(options: {
  readonly board: Board;
  readonly tenants: boolean;
  readonly version: string;
}): Promise<string> {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(CONTENT_TYPE);
  new Gauge({
    name: "aerodb_agent_build_info",
    help: "Version of the agent and of what it runs on; always 1.",
    labelNames: ["version", "node"],
    registers: [registry],
  }).set({ version: options.version, node: process.versions.node }, 1);
  const writers = new Map<string, Counter | Gauge>();
  for (const row of options.board.rows()) {
    if (row.measured.tenantId !== undefined && !options.tenants) continue;
    const labels = labelsOf(row);
    for (const [name, value] of entriesOfReadings(row.totals)) {
      writerOf({ writers, registry, row, name }).inc(labels, value);
    }
  }
  return registry.metrics();
}

function labelsOf({ measured }: BoardRow): Record<string, string> {
  const { instanceId, tenantId } = measured;
  return {
    ...(instanceId === undefined ? {} : { instance_id: instanceId }),
    ...(tenantId === undefined ? {} : { tenant_id: tenantId }),
  };
}

function writerOf(of: {
  readonly writers: Map<string, Counter | Gauge>;
  readonly registry: Registry<OpenMetricsContentType>;
  readonly row: BoardRow;
  readonly name: MetricName;
}): Counter | Gauge {
  const { writers, registry, row, name } = of;
  const counts = kindOfMetric(name) === "counter";
  const full = `${prefixOf(row, name)}${name}${counts ? "_total" : ""}`;
  const known = writers.get(full);
  if (known !== undefined) return known;
  const about = {
    name: full,
    help: METRICS[name].about,
    labelNames: Object.keys(labelsOf(row)),
    registers: [registry],
  };
  const made = counts ? new Counter(about) : new Gauge(about);
  writers.set(full, made);
  return made;
}

function prefixOf({ measured }: BoardRow, name: MetricName): string {
  if (measured.tenantId !== undefined) return "aerodb_tenant_";
  if (measured.instanceId !== undefined) return "aerodb_instance_";
  if (name.startsWith("agent_")) return "aerodb_";
  return /^(?:metering|samples)_/.test(name) ? "aerodb_agent_" : "aerodb_host_";
}
