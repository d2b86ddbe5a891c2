/** Everything that control's API serves, and what every call passes through. */
import { Fault, type TenantId } from "@aerodb/model";
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
import type { Logger } from "@aerodb/runtime";
import { faultsToCodes } from "@aerodb/wire";
import type { ConnectRouter, ConnectRouterOptions } from "@connectrpc/connect";
import type { Tenants } from "../app/tenants.ts";
import type { JoiningDesk } from "../auth/joining-desk.ts";
import { type FindKey, KeyRing } from "../auth/key-ring.ts";
import { admissionService } from "./admission-service.ts";
import { alertService } from "./alert-service.ts";
import type { Application } from "./application.ts";
import { authentication } from "./authentication.ts";
import { availabilityService } from "./availability-service.ts";
import { billingService } from "./billing-service.ts";
import { eventService } from "./event-service.ts";
import { type HealthState, healthService } from "./health.ts";
import { hostService } from "./host-service.ts";
import { keyService } from "./key-service.ts";
import { metricService } from "./metric-service.ts";
import { operationService } from "./operation-service.ts";
import { planService } from "./plan-service.ts";
import { platformService } from "./platform-service.ts";
import { pricingService } from "./pricing-service.ts";
import { quotaService } from "./quota-service.ts";
import { reflectionOf, reflectionV1, reflectionV1Alpha } from "./reflection.ts";
import { regionService } from "./region-service.ts";
import { requestLog } from "./request-log.ts";
import { sharedTableService } from "./shared-table-service.ts";
import { tenantService } from "./tenant-service.ts";
import { usageService } from "./usage-service.ts";
import { validation } from "./validation.ts";

/** The platform's own services. */
export const PLATFORM_SERVICES = [
  TenantService,
  PlanService,
  RegionService,
  HostService,
  AdmissionService,
  MetricService,
  BillingService,
  PricingService,
  UsageService,
  QuotaService,
  AvailabilityService,
  OperationService,
  EventService,
  AlertService,
  KeyService,
  SharedTableService,
  PlatformService,
] as const;

/** Every service of the API, health and reflection included. */
export const SERVICES = [
  ...PLATFORM_SERVICES,
  Health,
  ServerReflection,
  ServerReflectionV1Alpha,
] as const;

/** No request is larger, in whatever encoding and after decompression. */
const MAX_REQUEST_BYTES = 2 * 1024 * 1024;

export interface ApiOptions {
  readonly application: Application;
  readonly desk: JoiningDesk;
  readonly health: HealthState;
  readonly findKey: FindKey;
  readonly logger: Logger;
}

export function apiRoutes(options: ApiOptions): (router: ConnectRouter) => void {
  const { application, desk, health } = options;
  const reflect = reflectionOf(SERVICES);
  return (router) => {
    router.service(TenantService, tenantService(application));
    router.service(PlanService, planService(application.plans));
    router.service(RegionService, regionService(application.regions));
    router.service(HostService, hostService(application.hosts, application.logs, desk));
    router.service(AdmissionService, admissionService(application.admission));
    router.service(MetricService, metricService(application.metrics));
    router.service(BillingService, billingService(application.billing));
    router.service(PricingService, pricingService(application.pricing));
    router.service(QuotaService, quotaService(application.quotas));
    router.service(UsageService, usageService(application.usage));
    router.service(OperationService, operationService(application.operations));
    router.service(AvailabilityService, availabilityService(application.availability));
    router.service(EventService, eventService(application.events));
    router.service(AlertService, alertService(application.alerts));
    router.service(KeyService, keyService(application.keys));
    router.service(SharedTableService, sharedTableService(application.sharedTables));
    router.service(PlatformService, platformService(application.checkReadiness, desk));
    router.service(Health, healthService(health));
    router.service(ServerReflection, reflectionV1(reflect));
    router.service(ServerReflectionV1Alpha, reflectionV1Alpha(reflect));
  };
}

/** What every call passes through, in this order. Changes are recorded by who makes them. */
export function apiRouterOptions(options: ApiOptions): ConnectRouterOptions {
  const { tenants } = options.application;
  return {
    readMaxBytes: MAX_REQUEST_BYTES,
    // A misspelt field must not be taken for one that was left out.
    jsonOptions: { ignoreUnknownFields: false },
    interceptors: [
      requestLog(options.logger),
      faultsToCodes,
      authentication(new KeyRing(options.findKey), (id) => nameOfTenant(tenants, id)),
      validation(),
    ],
  };
}

async function nameOfTenant(tenants: Tenants, id: TenantId): Promise<string | undefined> {
  try {
    return (await tenants.get(id)).name;
  } catch (error) {
    if (error instanceof Fault && error.code === "TENANT_NOT_FOUND") return undefined;
    throw error;
  }
}
