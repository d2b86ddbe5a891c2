/**
 * The three ways to the API: Connect JSON, gRPC by a client that shares no code with the platform,
 * and REST through a gateway. Answers come as JSON in snake case, refusals as a `Refusal`.
 */
import { status } from "@grpc/grpc-js";
import { expect } from "vitest";
import { type GrpcCaller, grpcClient } from "../grpc-client.ts";
import type { AnyBody } from "../platform-client.ts";
import { REPOSITORY } from "../program.ts";
import { PLATFORM_KEY, type ServedControl } from "./served-control.ts";

/** One way to call an RPC, for example `TenantService/GetTenant`. */
export interface Door {
  readonly name: string;
  /** Whether an RPC can be called this way. */
  readonly serves: (rpc: string) => boolean;
  /** `""` sends no key. Throws a Refusal. */
  readonly call: (rpc: string, message: object, key?: string) => Promise<AnyBody>;
  readonly close: () => void;
}

/** A call that was refused. */
export class Refusal extends Error {
  /** Name of the gRPC status, for example `NOT_FOUND`. */
  readonly status: string;
  /** The platform's own code; undefined where a generic client does not see it. */
  readonly code: string | undefined;

  constructor(statusName: string, code: string | undefined, message: string) {
    super(message);
    this.status = statusName;
    this.code = code;
  }
}

/** A generic gRPC client sees the status only. */
export function expectFault(refusal: Refusal, statusName: string, code: string): void {
  expect(refusal.status).toBe(statusName);
  expect([code, undefined]).toContain(refusal.code);
}

export function openDoors(served: ServedControl): readonly Door[] {
  return [connectDoor(served), grpcDoor(served), restDoor(served)];
}

function connectDoor({ apiPort }: ServedControl): Door {
  return {
    name: "Connect",
    serves: () => true,
    close: () => undefined,
    async call(rpc, message, key = PLATFORM_KEY) {
      const response = await fetch(`http://127.0.0.1:${apiPort}/aerodb.control.v1.${rpc}`, {
        method: "POST",
        headers: { ...bearer(key), "content-type": "application/json" },
        body: JSON.stringify(message),
      });
      const body = (await response.json()) as AnyBody;
      if (response.ok) return snakeCase(body);
      const code = body.details?.[0]?.debug?.code;
      throw new Refusal(String(body.code).toUpperCase(), code, body.message);
    },
  };
}

function grpcDoor({ apiPort }: ServedControl): Door {
  const clients = new Map<string, GrpcCaller>();
  function clientOf(service: string): GrpcCaller {
    const open = clients.get(service);
    if (open !== undefined) return open;
    const file = snakeWord(service).slice(1);
    const client = grpcClient({
      address: `127.0.0.1:${apiPort}`,
      file: `${REPOSITORY}/proto/aerodb/control/v1/${file}.proto`,
      service: `aerodb.control.v1.${service}`,
    });
    clients.set(service, client);
    return client;
  }
  return {
    name: "gRPC",
    serves: () => true,
    close() {
      for (const client of clients.values()) client.close();
    },
    async call(rpc, message, key = PLATFORM_KEY) {
      const [service = "", method = ""] = rpc.split("/");
      try {
        return await clientOf(service).call(method, message, key === "" ? undefined : key);
      } catch (error) {
        const { code, details } = error as { readonly code: number; readonly details: string };
        throw new Refusal(status[code] ?? String(code), undefined, details);
      }
    },
  };
}

/** Verb, path and body that an RPC has in REST, and the field that its answer is taken from. */
type Rest = (message: AnyBody) => readonly [verb: string, path: string, body?: object];

const BILLING_REST: Readonly<Record<string, Rest>> = {
  "BillingService/ListInvoices": ({ tenant, ...ask }) => [
    "GET",
    `tenants/${tenant}/invoices?${new URLSearchParams(ask)}`,
  ],
  "BillingService/GetInvoice": ({ tenant, invoice }) => [
    "GET",
    `tenants/${tenant}/invoices/${invoice}`,
  ],
  "BillingService/RenderInvoice": ({ tenant, invoice, ...ask }) => [
    "GET",
    `tenants/${tenant}/invoices/${invoice}/document?${new URLSearchParams(ask)}`,
  ],
  "BillingService/CreateCreditNote": ({ tenant, ...ask }) => [
    "POST",
    `tenants/${tenant}/credit-notes`,
    ask,
  ],
  "BillingService/ListCreditNotes": ({ tenant, ...ask }) => [
    "GET",
    `tenants/${tenant}/credit-notes?${new URLSearchParams(ask)}`,
  ],
  "BillingService/GetBillingSummary": () => ["GET", "billing/summary"],
  "BillingService/RecomputeInvoices": (ask) => ["POST", "billing/recompute", ask],
  "PricingService/CalculatePrice": (ask) => ["POST", "pricing/calculate", ask],
  "PricingService/ListRates": () => ["GET", "pricing/rates"],
  "PricingService/CreateRate": (ask) => ["POST", "pricing/rates", ask],
  "PricingService/ListPlanPrices": () => ["GET", "pricing/plans"],
  "PricingService/CreatePlanPrice": (ask) => ["POST", "pricing/plans", ask],
  "PricingService/ListHostPrices": () => ["GET", "pricing/hosts"],
  "PricingService/CreateHostPrice": (ask) => ["POST", "pricing/hosts", ask],
  "PricingService/CalculateCost": () => ["GET", "pricing/cost"],
};

const REST: Readonly<Record<string, Rest>> = {
  "TenantService/CreateTenant": (ask) => ["POST", "tenants", ask],
  "TenantService/GetTenant": ({ tenant }) => ["GET", `tenants/${tenant}`],
  "TenantService/ListTenants": (ask) => ["GET", `tenants?${new URLSearchParams(ask)}`],
  "TenantService/UpdateTenant": ({ tenant, ...ask }) => ["PATCH", `tenants/${tenant}`, ask],
  "TenantService/RotateCredentials": ({ tenant }) => [
    "POST",
    `tenants/${tenant}/credentials:rotate`,
  ],
  "TenantService/RestartTenant": ({ tenant }) => ["POST", `tenants/${tenant}:restart`],
  "TenantService/SuspendTenant": ({ tenant, ...ask }) => ["POST", `tenants/${tenant}:suspend`, ask],
  "TenantService/ReinstateTenant": ({ tenant }) => ["POST", `tenants/${tenant}:reinstate`],
  "TenantService/InstallExtension": ({ tenant, ...ask }) => [
    "POST",
    `tenants/${tenant}/extensions`,
    ask,
  ],
  "TenantService/GetTenantLogs": ({ tenant, ...ask }) => [
    "GET",
    `tenants/${tenant}/logs?${new URLSearchParams(ask)}`,
  ],
  "TenantService/GetTenantIsolation": ({ tenant }) => ["GET", `tenants/${tenant}/isolation`],
  "TenantService/ProveTenantIsolation": ({ tenant }) => [
    "POST",
    `tenants/${tenant}/isolation:prove`,
  ],
  "TenantService/DeleteTenant": ({ tenant }) => ["DELETE", `tenants/${tenant}`],
  "PlanService/ListPlans": () => ["GET", "plans"],
  "PlanService/UpdatePlan": ({ plan, ...ask }) => ["PATCH", `plans/${plan}`, ask],
  "SharedTableService/ApplySharedTables": (ask) => ["POST", "shared-tables", ask],
  "SharedTableService/ListSharedTables": () => ["GET", "shared-tables"],
  "RegionService/ListRegions": () => ["GET", "regions"],
  "HostService/ListHosts": () => ["GET", "hosts"],
  "HostService/GetHost": ({ host }) => ["GET", `hosts/${host}`],
  "HostService/DeleteHost": ({ host, ...ask }) => ["DELETE", `hosts/${host}`, ask],
  "HostService/CreateJoinToken": (ask) => ["POST", "join-tokens", ask],
  "AdmissionService/ListJoinTokens": () => ["GET", "join-tokens"],
  "AdmissionService/RevokeJoinToken": ({ token_id }) => ["DELETE", `join-tokens/${token_id}`],
  "AdmissionService/RevokeHost": ({ host, ...ask }) => ["POST", `hosts/${host}:revoke`, ask],
  "AdmissionService/ListGateways": () => ["GET", "gateways"],
  "AdmissionService/RevokeGateway": ({ gateway_id, ...ask }) => [
    "POST",
    `gateways/${gateway_id}:revoke`,
    ask,
  ],
  "HostService/Diagnose": () => ["GET", "diagnosis"],
  "HostService/SweepOrphans": (ask) => ["POST", "diagnosis:sweep", ask],
  "HostService/GetInstanceLogs": ({ instance_id }) => ["GET", `instances/${instance_id}/logs`],
  "MetricService/GetTenantMetrics": ({ tenant, ...ask }) => [
    "GET",
    `tenants/${tenant}/metrics?${new URLSearchParams(ask)}`,
  ],
  "QuotaService/GetTenantQuotas": ({ tenant }) => ["GET", `tenants/${tenant}/quotas`],
  "QuotaService/SetTenantQuotas": ({ tenant, ...ask }) => ["PUT", `tenants/${tenant}/quotas`, ask],
  "QuotaService/ListLargestRelations": ({ tenant, ...ask }) => [
    "GET",
    `tenants/${tenant}/largest-relations?${new URLSearchParams(ask)}`,
  ],
  "UsageService/GetTenantUsage": ({ tenant }) => ["GET", `tenants/${tenant}/usage`],
  "UsageService/GetTenantUsageOfMonth": ({ tenant, month }) => [
    "GET",
    `tenants/${tenant}/usage/${month}`,
  ],
  "MetricService/GetHostMetrics": ({ host, ...ask }) => [
    "GET",
    `hosts/${host}/metrics?${new URLSearchParams(ask)}`,
  ],
  ...BILLING_REST,
  "AvailabilityService/GetTenantAvailability": ({ tenant, ...ask }) => [
    "GET",
    `tenants/${tenant}/availability?${new URLSearchParams(ask)}`,
  ],
  "AlertService/ListAlerts": (ask) => ["GET", `alerts?${new URLSearchParams(ask)}`],
  "OperationService/GetOperation": (ask) => ["GET", `operations/${ask.operation_id}`],
  "OperationService/ListOperations": (ask) => ["GET", `operations?${new URLSearchParams(ask)}`],
  "EventService/ListEvents": (ask) => ["GET", `events?${new URLSearchParams(ask)}`],
  "KeyService/CreateKey": (ask) => ["POST", "keys", ask],
  "KeyService/ListKeys": () => ["GET", "keys"],
  "KeyService/RevokeKey": ({ key_id }) => ["DELETE", `keys/${key_id}`],
};

/** RPCs whose REST answer is one field of their response, by that field. */
const RESPONSE_FIELD: Readonly<Record<string, string>> = {
  "QuotaService/GetTenantQuotas": "quotas",
  "QuotaService/SetTenantQuotas": "quotas",
  "UsageService/GetTenantUsage": "usage",
  "AvailabilityService/GetTenantAvailability": "availability",
  "UsageService/GetTenantUsageOfMonth": "usage",
  "TenantService/CreateTenant": "tenant",
  "TenantService/GetTenant": "tenant",
  "TenantService/UpdateTenant": "tenant",
  "TenantService/RotateCredentials": "tenant",
  "TenantService/RestartTenant": "tenant",
  "TenantService/InstallExtension": "tenant",
  "TenantService/SuspendTenant": "tenant",
  "TenantService/ReinstateTenant": "tenant",
  "TenantService/DeleteTenant": "tenant",
  "PlanService/UpdatePlan": "plan",
  "HostService/GetHost": "host",
  "BillingService/GetInvoice": "invoice",
  "BillingService/RenderInvoice": "document",
  "BillingService/CreateCreditNote": "credit_note",
  "PricingService/CreateRate": "rate",
  "PricingService/CreatePlanPrice": "plan_price",
  "PricingService/CreateHostPrice": "host_price",
  "OperationService/GetOperation": "operation",
  "KeyService/CreateKey": "key",
};

/** What each HTTP status is in gRPC, as far as the API uses it. */
const STATUS_OF_HTTP: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  409: "ALREADY_EXISTS",
  503: "UNAVAILABLE",
};

function restDoor({ restPort }: ServedControl): Door {
  return {
    name: "REST",
    serves: (rpc) => rpc in REST,
    close: () => undefined,
    async call(rpc, message, key = PLATFORM_KEY) {
      const [method, path, body] = REST[rpc]?.(message) ?? expectServed(rpc);
      const response = await fetch(`http://127.0.0.1:${restPort}/v1/${path}`, {
        method,
        headers: { ...bearer(key), "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const type = response.headers.get("content-type") ?? "";
      const bytes = Buffer.from(await response.arrayBuffer());
      const answer = type.includes("json") ? JSON.parse(bytes.toString()) : fileOf(type, bytes);
      if (!response.ok) {
        const name = STATUS_OF_HTTP[response.status] ?? String(response.status);
        throw new Refusal(name, answer.code, answer.detail);
      }
      const field = RESPONSE_FIELD[rpc];
      return field === undefined ? answer : { [field]: answer };
    },
  };
}

/** A file as the other doors tell of it. */
function fileOf(content_type: string, bytes: Buffer): AnyBody {
  return bytes.length === 0 ? {} : { content_type, data: bytes.toString("base64") };
}

function expectServed(rpc: string): never {
  throw new Error(`${rpc} has no REST path: ask \`serves\` first.`);
}

function bearer(key: string): Readonly<Record<string, string>> {
  return key === "" ? {} : { authorization: `Bearer ${key}` };
}

function snakeWord(word: string): string {
  return word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function snakeCase(value: AnyBody): AnyBody {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [snakeWord(key), snakeCase(inner)]),
  );
}
