/**
 * What is measured, for a collector of metrics that comes by. No tenant is named unless that is
 * wanted.
 */
import { entriesOfReadings, kindOfMetric, METRICS, type MetricName } from "@aerodb/model";
import { type MetricsServer, serveMetrics } from "@aerodb/wire";
import { Counter, Gauge, type OpenMetricsContentType, Registry } from "prom-client";
import type { Board, BoardRow } from "./board.ts";

export interface ShownMetrics {
  readonly board: Board;
  /** Whether the tenants of shared instances are shown, each with its id. */
  readonly tenants: boolean;
  readonly version: string;
}

const CONTENT_TYPE = Registry.OPENMETRICS_CONTENT_TYPE;

export function showMetrics(
  shown: ShownMetrics & { readonly port: number; readonly listenAddress: string },
): Promise<MetricsServer> {
  const { port, listenAddress } = shown;
  return serveMetrics({
    ...{ port, listenAddress, variable: "AERODB_AGENT_METRICS_PORT", contentType: CONTENT_TYPE },
    render: () => renderMetrics(shown),
  });
}

/** Everything anew for each collector: what is gone leaves no trace. */
export function renderMetrics(options: ShownMetrics): Promise<string> {
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
