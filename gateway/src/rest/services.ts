import { AdmissionService } from "@aerodb/rpc/aerodb/control/v1/admission_service_pb.js";
import { EventService } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import { HostService } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { KeyService } from "@aerodb/rpc/aerodb/control/v1/key_service_pb.js";
import { MetricService } from "@aerodb/rpc/aerodb/control/v1/metric_service_pb.js";
import { OperationService } from "@aerodb/rpc/aerodb/control/v1/operation_service_pb.js";
import { PlanService } from "@aerodb/rpc/aerodb/control/v1/plan_service_pb.js";
import { PlatformService } from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import { RegionService } from "@aerodb/rpc/aerodb/control/v1/region_service_pb.js";
import { SharedTableService } from "@aerodb/rpc/aerodb/control/v1/shared_table_service_pb.js";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";

/** Every service of control's API that is offered outside. */
export const SERVICES = [
  TenantService,
  OperationService,
  EventService,
  PlanService,
  RegionService,
  HostService,
  AdmissionService,
  KeyService,
  MetricService,
  SharedTableService,
  PlatformService,
] as const;
