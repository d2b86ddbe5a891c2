import type { IsolationReportSchema } from "@aerodb/rpc/aerodb/control/v1/isolation_pb.js";
import type { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { IsolationReport } from "../app/isolation.ts";

/** What the handlers of isolation need. */
export interface Isolations {
  get(tenant: string): Promise<IsolationReport>;
  prove(tenant: string, signal: AbortSignal): Promise<IsolationReport>;
}

/** The handlers of isolation. */
export function isolationMethods(
  isolation: Isolations,
): Pick<ServiceImpl<typeof TenantService>, "getTenantIsolation" | "proveTenantIsolation"> {
  return {
    async getTenantIsolation({ tenant }) {
      return { report: encodeIsolation(await isolation.get(tenant)) };
    },

    async proveTenantIsolation({ tenant }, context) {
      return { report: encodeIsolation(await isolation.prove(tenant, context.signal)) };
    },
  };
}

function encodeIsolation(report: IsolationReport): MessageInitShape<typeof IsolationReportSchema> {
  const { tenantId, isolation, engine, proven, document, signature, keyId } = report;
  return {
    ...{ tenantId, isolation, engine, proven, document, signature, keyId },
    provenAt: encodeTime(report.provenAt),
    rules: report.rules.map((rule) => ({ ...rule, violations: [...rule.violations] })),
    notHidden: [...report.notHidden],
  };
}
