/**
 * Who may call what: one row for every RPC that control serves. An RPC without a row does not
 * compile, and is refused to everybody besides.
 */
import { AdmissionService } from "@aerodb/rpc/aerodb/control/v1/admission_service_pb.js";
import { AlertService } from "@aerodb/rpc/aerodb/control/v1/alert_service_pb.js";
import { AvailabilityService } from "@aerodb/rpc/aerodb/control/v1/availability_service_pb.js";
import { BillingService } from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import { EventService } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import { HostService } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { KeyService } from "@aerodb/rpc/aerodb/control/v1/key_service_pb.js";
import { MetricService } from "@aerodb/rpc/aerodb/control/v1/metric_service_pb.js";
import { OperationService } from "@aerodb/rpc/aerodb/control/v1/operation_service_pb.js";
import { PlanService } from "@aerodb/rpc/aerodb/control/v1/plan_service_pb.js";
import { PlatformService } from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import { PricingService } from "@aerodb/rpc/aerodb/control/v1/pricing_service_pb.js";
import { QuotaService } from "@aerodb/rpc/aerodb/control/v1/quota_service_pb.js";
import { RegionService } from "@aerodb/rpc/aerodb/control/v1/region_service_pb.js";
import { SharedTableService } from "@aerodb/rpc/aerodb/control/v1/shared_table_service_pb.js";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { UsageService } from "@aerodb/rpc/aerodb/control/v1/usage_service_pb.js";
import { Health } from "@aerodb/rpc/grpc/health/v1/health_pb.js";
import { ServerReflection } from "@aerodb/rpc/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "@aerodb/rpc/grpc/reflection/v1alpha/reflection_pb.js";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { ScopeKind } from "./scope.ts";

/** `public`: everybody, without a key. Else the scopes of which one is enough. */
export type Row = "public" | readonly ScopeKind[];

const ADMIN = ["platform:admin"] as const;
const READ = ["platform:admin", "platform:read"] as const;
/** A tenant's own key as well, for that tenant and no other. */
const ADMIN_OR_OWN = ["platform:admin", "tenant"] as const;
/** Who sees bills and nothing else as well. */
const BILLING = ["platform:admin", "platform:read", "billing:read"] as const;
const BILLING_OR_OWN = ["platform:admin", "platform:read", "billing:read", "tenant"] as const;
const READ_OR_OWN = ["platform:admin", "platform:read", "tenant"] as const;

const ROWS: ReadonlyMap<string, Row> = new Map([
  ...rowsOf(TenantService, {
    createTenant: ADMIN,
    getTenant: READ_OR_OWN,
    listTenants: READ,
    updateTenant: ADMIN,
    rotateCredentials: ADMIN_OR_OWN,
    restartTenant: ADMIN_OR_OWN,
    installExtension: ADMIN,
    suspendTenant: ADMIN,
    reinstateTenant: ADMIN,
    getTenantLogs: READ_OR_OWN,
    getTenantIsolation: READ_OR_OWN,
    proveTenantIsolation: ADMIN_OR_OWN,
    deleteTenant: ADMIN,
  }),
  ...rowsOf(PlanService, { listPlans: READ, updatePlan: ADMIN }),
  ...rowsOf(SharedTableService, { applySharedTables: ADMIN, listSharedTables: READ }),
  ...rowsOf(RegionService, { listRegions: READ }),
  ...rowsOf(HostService, {
    listHosts: READ,
    getHost: READ,
    deleteHost: ADMIN,
    createJoinToken: ADMIN,
    diagnose: READ,
    sweepOrphans: ADMIN,
    getInstanceLogs: READ,
  }),
  ...rowsOf(AdmissionService, {
    listJoinTokens: READ,
    revokeJoinToken: ADMIN,
    revokeHost: ADMIN,
    listGateways: READ,
    revokeGateway: ADMIN,
  }),
  ...rowsOf(MetricService, { getTenantMetrics: READ_OR_OWN, getHostMetrics: READ }),
  ...rowsOf(BillingService, {
    listInvoices: BILLING_OR_OWN,
    getInvoice: BILLING_OR_OWN,
    renderInvoice: BILLING_OR_OWN,
    createCreditNote: ADMIN,
    listCreditNotes: BILLING_OR_OWN,
    getBillingSummary: BILLING,
    recomputeInvoices: BILLING,
  }),
  ...rowsOf(PricingService, {
    calculatePrice: BILLING,
    listRates: BILLING,
    createRate: ADMIN,
    listPlanPrices: BILLING,
    createPlanPrice: ADMIN,
    listHostPrices: BILLING,
    createHostPrice: ADMIN,
    calculateCost: BILLING,
  }),
  ...rowsOf(QuotaService, {
    getTenantQuotas: BILLING_OR_OWN,
    setTenantQuotas: ADMIN,
    listLargestRelations: READ_OR_OWN,
  }),
  ...rowsOf(UsageService, {
    getTenantUsage: BILLING_OR_OWN,
    getTenantUsageOfMonth: BILLING_OR_OWN,
  }),
  ...rowsOf(AvailabilityService, { getTenantAvailability: BILLING_OR_OWN }),
  ...rowsOf(OperationService, { getOperation: READ, listOperations: READ }),
  ...rowsOf(EventService, { listEvents: READ }),
  ...rowsOf(AlertService, { listAlerts: READ }),
  ...rowsOf(KeyService, { createKey: ADMIN, listKeys: READ, revokeKey: ADMIN }),
  // Join checks a join token instead of a key.
  ...rowsOf(PlatformService, { checkReadiness: "public", join: "public" }),
  ...rowsOf(Health, { check: "public", list: "public", watch: "public" }),
  ...rowsOf(ServerReflection, { serverReflectionInfo: "public" }),
  ...rowsOf(ServerReflectionV1Alpha, { serverReflectionInfo: "public" }),
]);

function rowsOf<Service extends DescService>(
  service: Service,
  rows: Readonly<Record<keyof Service["method"], Row>>,
): [string, Row][] {
  return service.methods.map((method) => [
    keyOf(method),
    rows[method.localName as keyof Service["method"]],
  ]);
}

function keyOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** The row of an RPC; nobody may call one that has none. */
export function rowOf(method: DescMethod): Row {
  return ROWS.get(keyOf(method)) ?? [];
}
