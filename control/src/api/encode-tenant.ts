import type { TenantSchema } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TenantView } from "../app/tenants.ts";

export function encodeTenant(tenant: TenantView): MessageInitShape<typeof TenantSchema> {
  return {
    tenantId: tenant.id,
    name: tenant.name,
    plan: tenant.plan,
    region: tenant.region,
    isolation: tenant.isolation,
    status: tenant.status,
    statusReason: tenant.statusReason,
    quarantined: tenant.quarantined,
    databaseUrl: tenant.databaseUrl,
    createdAt: encodeTime(tenant.createdAt),
    labels: tenant.labels,
    connection: tenant.connection,
    settings: { ...tenant.postgres?.settings },
    pendingRestart: [...(tenant.postgres?.pendingRestart ?? [])],
    extensions: [...(tenant.postgres?.extensions ?? [])],
    walls: [...(tenant.postgres?.walls ?? [])],
  };
}
