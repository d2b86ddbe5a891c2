import type {
  MetricPointSchema,
  MetricService,
  MetricStatementSchema,
} from "@aerodb/rpc/aerodb/control/v1/metric_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type {
  HostMetrics,
  MetricPoint,
  MetricSpan,
  SampledStatement,
  TenantMetrics,
} from "../app/metrics.ts";

export interface Metrics {
  ofTenant(tenant: string, span: MetricSpan): Promise<TenantMetrics>;
  ofHost(host: string, span: MetricSpan & { readonly instanceId: string }): Promise<HostMetrics>;
}

export function metricService(metrics: Metrics): ServiceImpl<typeof MetricService> {
  return {
    async getTenantMetrics({ tenant, sinceSeconds, stepSeconds }) {
      const found = await metrics.ofTenant(tenant, { sinceSeconds, stepSeconds });
      const { tenantId, instanceId = "", points, statements } = found;
      return { tenantId, instanceId, ...encode(points, statements) };
    },

    async getHostMetrics({ host, instanceId, sinceSeconds, stepSeconds }) {
      const span = { instanceId, sinceSeconds, stepSeconds };
      const { hostId, points, statements } = await metrics.ofHost(host, span);
      return { hostId, ...encode(points, statements) };
    },
  };
}

function encode(points: readonly MetricPoint[], statements: readonly SampledStatement[]) {
  return { points: points.map(encodePoint), statements: statements.map(encodeStatement) };
}

function encodePoint(point: MetricPoint): MessageInitShape<typeof MetricPointSchema> {
  const values = Object.fromEntries(Object.entries(point.readings));
  return { at: encodeTime(point.at), seconds: point.seconds, values };
}

function encodeStatement(
  statement: SampledStatement,
): MessageInitShape<typeof MetricStatementSchema> {
  const { queryId, query, totalSeconds, calls, rows } = statement;
  return { queryId, query, totalSeconds, calls: BigInt(calls), rows: BigInt(rows) };
}
