/** The platform's API as the verbs see it: clients with the key attached, and errors as faults. */
import { Fault } from "@aerodb/model";
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
import { PricingService } from "@aerodb/rpc/aerodb/control/v1/pricing_service_pb.js";
import { QuotaService } from "@aerodb/rpc/aerodb/control/v1/quota_service_pb.js";
import { RegionService } from "@aerodb/rpc/aerodb/control/v1/region_service_pb.js";
import { SharedTableService } from "@aerodb/rpc/aerodb/control/v1/shared_table_service_pb.js";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { UsageService } from "@aerodb/rpc/aerodb/control/v1/usage_service_pb.js";
import { faultFromConnectError } from "@aerodb/wire";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { VerbSettings } from "./config.ts";
import { findRunningUp } from "./up/home-lease.ts";
import { platformKeyPath } from "./up/home-paths.ts";
import { readSecret } from "./up/secret-file.ts";

const DEADLINE_MS = 60_000;

export type Api = ReturnType<typeof connectApi>;

/** Opens nothing yet: the first call does. */
export function connectApi(settings: VerbSettings) {
  const baseUrl = apiUrl(settings);
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: "1.1",
    defaultTimeoutMs: DEADLINE_MS,
    interceptors: [errorsToFaults(baseUrl), withKey(settings)],
  });
  return {
    tenants: createClient(TenantService, transport),
    hosts: createClient(HostService, transport),
    admission: createClient(AdmissionService, transport),
    regions: createClient(RegionService, transport),
    plans: createClient(PlanService, transport),
    metrics: createClient(MetricService, transport),
    billing: createClient(BillingService, transport),
    pricing: createClient(PricingService, transport),
    quotas: createClient(QuotaService, transport),
    availability: createClient(AvailabilityService, transport),
    usage: createClient(UsageService, transport),
    operations: createClient(OperationService, transport),
    events: createClient(EventService, transport),
    alerts: createClient(AlertService, transport),
    keys: createClient(KeyService, transport),
    sharedTables: createClient(SharedTableService, transport),
  };
}

/** Where the API is: as told, else where the `up` of this home serves it, else the usual place. */
export function apiUrl({ url, home, restPort }: VerbSettings): string {
  if (url === undefined) {
    return `http://127.0.0.1:${findRunningUp(home)?.ports.rest ?? restPort ?? 8080}`;
  }
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url.replace(/\/+$/, "");
  throw new Fault("INVALID_ARGUMENT", `${url} is no URL: give one such as http://127.0.0.1:8080.`);
}

function withKey({ key, home }: VerbSettings): Interceptor {
  return (next) => (request) => {
    const held = key ?? readSecret(platformKeyPath(home));
    if (held === undefined) {
      throw new Fault(
        "UNAUTHENTICATED",
        "There is no key: give one with --key or AERODB_KEY, or a platform's home with --home.",
      );
    }
    request.header.set("authorization", `Bearer ${held}`);
    return next(request);
  };
}

function errorsToFaults(baseUrl: string): Interceptor {
  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      throw error instanceof Fault ? error : asFault(ConnectError.from(error), baseUrl);
    }
  };
}

const HINTS: Partial<Record<Fault["code"], string>> = {
  UNAUTHENTICATED: "Give another key with --key or AERODB_KEY.",
  OPERATION_TIMED_OUT: 'See "aerodb operations list" for what became of it.',
};

function asFault(error: ConnectError, baseUrl: string): Error {
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  if (cause?.code !== undefined && /^(ECONN|ENOTFOUND|EAI_|EHOST|ENET)/.test(cause.code)) {
    return new Fault(
      "UNAVAILABLE",
      `Nothing answers at ${baseUrl} (${cause.code}). ` +
        'Start the platform with "aerodb up", or name another with --url or AERODB_URL.',
    );
  }
  if (error.code === Code.NotFound && faultFromConnectError(error) === undefined) {
    return new Fault("UNAVAILABLE", `What answers at ${baseUrl} is not AeroDB's API. Check --url.`);
  }
  const fault = faultFromConnectError(error);
  const hint = fault === undefined ? undefined : HINTS[fault.code];
  if (fault === undefined)
    return new Error(`The platform failed: ${error.message}`, { cause: error });
  if (hint === undefined) return fault;
  const { code, message, details } = fault;
  return new Fault(code, `${message} ${hint}`, { cause: error, details });
}
