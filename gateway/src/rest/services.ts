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

/** Every service of control's API that is offered outside. */
export const SERVICES = [
  TenantService,
  OperationService,
  EventService,
  AlertService,
  PlanService,
  RegionService,
  HostService,
  AdmissionService,
  KeyService,
  MetricService,
  BillingService,
  PricingService,
  UsageService,
  QuotaService,
  AvailabilityService,
  SharedTableService,
  PlatformService,
] as const;
