/** What a gateway carries, for a collector of metrics. */
import { Counter, Gauge, Histogram, type OpenMetricsContentType, Registry } from "prom-client";
import type { AnsweredRequest } from "./rest/route-class.ts";
import type { CountedMeter, Traffic } from "./traffic.ts";
import type { ConnectionLine } from "./wire/connections.ts";
import type { Limits } from "./wire/limits.ts";

export const METRICS_CONTENT_TYPE = Registry.OPENMETRICS_CONTENT_TYPE;

export interface GatewayMetrics {
  readonly version: string;
  readonly traffic: Pick<Traffic, "totals" | "peaks">;
  readonly connections: { list(): readonly ConnectionLine[] };
  readonly limits: Pick<Limits, "strangersRefused">;
  readonly requests: RequestMetrics;
  /** Whether tenants are shown, each with its id: as many series as there are. */
  readonly tenants: boolean;
  readonly followsControl: () => boolean;
}

const ABOUT: Readonly<Record<CountedMeter, string>> = {
  connections_opened: "Connections of clients that were opened.",
  connections_refused: "Logins that were refused: over a limit, for a wrong password or parameter.",
  connection_seconds: "Time that connections were open, of all together.",
  egress_bytes: "Bytes to clients.",
  ingress_bytes: "Bytes from clients.",
  transactions: "Transactions that ended.",
  wake_waits: "Logins that waited for a server to be woken.",
  parks: "Connections that were held while their server was restarted.",
  idle_timeouts: "Connections that were ended because they were idle for too long.",
  idle_in_transaction_timeouts:
    "Clients of the pooled port that were too long idle in a transaction.",
  pool_timeouts: "Clients of the pooled port for which no server became free in time.",
};

/** From a request that is answered at once to one that waits for a database. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** How long requests of the REST port took, since the gateway came up. */
export class RequestMetrics {
  readonly seconds = new Histogram({
    name: "aerodb_gateway_http_request_seconds",
    help: "Requests of the REST port by class of route and status, and how long they took.",
    labelNames: ["route_class", "status"],
    buckets: SECONDS,
    registers: [],
  });

  observe({ routeClass, status, seconds }: AnsweredRequest): void {
    this.seconds.observe({ route_class: routeClass, status }, seconds);
  }
}

/** Everything anew for each collector: of who is gone counters stay, and of gauges nothing. */
export function renderMetrics(metrics: GatewayMetrics): Promise<string> {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(METRICS_CONTENT_TYPE);
  const registers = [registry];
  const { version, traffic, connections, limits, tenants } = metrics;
  new Gauge({
    name: "aerodb_gateway_build_info",
    help: "Version of the gateway and of what it runs on; always 1.",
    labelNames: ["version", "node"],
    registers,
  }).set({ version, node: process.versions.node }, 1);
  new Gauge({
    name: "aerodb_gateway_follows_control",
    help: "Whether control tells where tenants are: 1, or 0 while the last table is served from.",
    registers,
  }).set(metrics.followsControl() ? 1 : 0);
  new Gauge({
    name: "aerodb_gateway_memory_bytes",
    help: "Memory of the process.",
    registers,
  }).set(process.memoryUsage.rss());
  const { user, system } = process.cpuUsage();
  const cpu = { name: "aerodb_gateway_cpu_seconds_total", help: "Processor time of the process." };
  new Counter({ ...cpu, registers }).inc((user + system) / 1e6);
  const strangers = new Counter({
    name: "aerodb_gateway_strangers_refused_total",
    help: "Connections that were refused before they had proven who they are, by the limit.",
    labelNames: ["limit"],
    registers,
  });
  for (const [limit, refused] of Object.entries(limits.strangersRefused)) {
    strangers.inc({ limit }, refused);
  }
  const ofTenant = tenants ? ["tenant_id"] : [];
  const labelsOf = (tenantId: string) => (tenants ? { tenant_id: tenantId } : {});
  const open = new Gauge({
    name: "aerodb_gateway_connections",
    help: "Connections of clients that are open.",
    labelNames: ["port", "state", ...ofTenant],
    registers,
  });
  for (const { port, state, tenantId } of connections.list()) {
    open.inc({ port, state, ...labelsOf(tenantId) }, 1);
  }
  if (tenants) showPeaks(traffic.peaks(), registers);
  const counters = new Map<string, Counter>();
  for (const { tenantId, meter, value } of traffic.totals()) {
    const name = `aerodb_gateway_${meter}_total`;
    const counter =
      counters.get(meter) ??
      new Counter({ name, help: ABOUT[meter], labelNames: ofTenant, registers });
    counters.set(meter, counter);
    counter.inc(labelsOf(tenantId), value);
  }
  registry.registerMetric(metrics.requests.seconds);
  return registry.metrics();
}

/** Of tenants one by one only: they are not all at once. */
function showPeaks(
  peaks: ReadonlyMap<string, number>,
  registers: Registry<OpenMetricsContentType>[],
): void {
  const gauge = new Gauge({
    name: "aerodb_gateway_connections_peak",
    help: "Most connections at once since usage was read, a minute ago at most.",
    labelNames: ["tenant_id"],
    registers,
  });
  for (const [tenantId, peak] of peaks) gauge.set({ tenant_id: tenantId }, peak);
}
