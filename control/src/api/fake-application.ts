/** An application with one tenant in it, for tests of what stands before it. */
import type {
  CreditNoteId,
  HostId,
  InstanceId,
  InvoiceId,
  KeyId,
  OperationId,
  Plan,
  PlanName,
  RegionName,
  TenantId,
} from "@aerodb/model";
import { Fault } from "@aerodb/model";
import { FaultDetailSchema } from "@aerodb/rpc/aerodb/control/v1/fault_pb.js";
import { silent } from "@aerodb/runtime";
import { ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { expect } from "vitest";
import type { Event } from "../app/events.ts";
import { sampleFacts } from "../app/fake-agent.ts";
import type { Host } from "../app/hosts.ts";
import type { Invoice } from "../app/invoices.ts";
import type { IsolationReport } from "../app/isolation.ts";
import type { Operation } from "../app/operations.ts";
import type { TenantQuotas } from "../app/quotas.ts";
import { viewTenant } from "../app/tenant-connection.ts";
import type { TenantView } from "../app/tenants.ts";
import type { Application } from "./application.ts";
import { HealthState } from "./health.ts";
import { type ApiOptions, apiRouterOptions, apiRoutes, PLATFORM_SERVICES } from "./routes.ts";

export const OWN = "ten_01jc7w4x9dep8t3w8rj0sxv5n2" as TenantId;
export const FOREIGN = "ten_01jc7w4x9dep8t3w8rj0sxv5n3" as TenantId;
export const PASSWORD = "correct-horse-battery-staple-0001";
const AT = new Date("2026-01-02T03:04:05.678Z");
const SETTINGS = {
  ...{ baseDomain: "example.com", publicHost: "127.0.0.1" },
  ...{ publicPort: 6_432, publicPooledPort: 6_543 },
};

/** Keys by what they present: each named for its scope. */
export const KEYS: Readonly<Record<string, readonly string[]>> = {
  "platform:admin": ["platform:admin"],
  "platform:read": ["platform:read"],
  "billing:read": ["billing:read"],
  tenant: [`tenant:${OWN}`],
  nothing: ["scope:of-a-later-version"],
};

export function fakeTenant(id: TenantId = OWN, password = ""): TenantView {
  return viewTenant(
    SETTINGS,
    {
      id,
      name: id === OWN ? "acme-corp" : "other-corp",
      plan: "free" as PlanName,
      region: "us-east-1" as RegionName,
      isolation: "schema",
      status: "active",
      statusReason: "",
      quarantined: false,
      labels: { team: "blue" },
      instanceId: "ins_01jc7w4x9dep8t3w8rj0sxv5n2" as InstanceId,
      createdAt: AT,
    },
    password,
  );
}

const HOST: Host = {
  id: "hst_01jc7w4x9dep8t3w8rj0sxv5n2" as HostId,
  name: "host-1",
  region: "us-east-1" as RegionName,
  connected: true,
  lastSeenAt: AT,
  agentVersion: "0.1.0",
  capacity: { memoryMiB: 4_096, cpuMillis: 2_000, storageMiB: 10_240 },
  reserved: { memoryMiB: 0, cpuMillis: 0, storageMiB: 0 },
  engines: ["18.4"],
  capabilities: ["reflink"],
  instances: 1,
  tenants: 1,
  labels: { rack: "a1" },
  revokedAt: null,
  revokedReason: "",
  clockOffsetMs: 12,
};

const PLAN: Plan = {
  name: "free" as PlanName,
  isolations: ["schema"],
  defaultIsolation: "schema",
  storageBytes: 524_288_000n,
  apiRequestsPerMonth: 10_000n,
  fileStorageBytes: undefined,
  realtimeConnections: undefined,
  connectionLimit: 20,
  ...{ memoryMiB: 128, cpuMillis: 100, storageMiB: 500, pidsLimit: 0, importance: 100 },
  requiredCapabilities: [],
  basePriceMicroUsd: 0n,
};

const EVENT: Event = {
  id: 7n,
  at: AT,
  actor: "system",
  kind: "tenant.create",
  subject: OWN,
  before: null,
  after: { plan: "free" },
  requestId: "req",
};

const OPERATION: Operation = {
  id: "op_01jc7w4x9dep8t3w8rj0sxv5n2" as OperationId,
  kind: "create_tenant",
  tenantId: OWN,
  done: false,
  error: "",
  createdAt: AT,
  doneAt: undefined,
  deadlineAt: AT,
  steps: [{ name: "placed", at: AT }],
};

const KEY = { id: "key_1" as KeyId, name: "ci", scopes: ["platform:read"], createdAt: AT };
const SHARED_TABLE_CHANGE = {
  ...{ number: 1, name: "notes.sql", sha256: "00", createdAt: AT },
  ...{ instances: 1, instancesApplied: 1 },
};

function find(named: string): TenantView {
  for (const tenant of [fakeTenant(OWN), fakeTenant(FOREIGN)]) {
    if (named === tenant.id || named === tenant.name) return tenant;
  }
  throw new Fault("TENANT_NOT_FOUND", `There is no tenant ${JSON.stringify(named)}.`);
}

const METRICS: Application["metrics"] = {
  ofTenant: async (named) => ({
    ...{ tenantId: find(named).id, instanceId: undefined, statements: [] },
    points: [{ at: AT, seconds: 10, readings: { connections: 2 } }],
  }),
  ofHost: async () => ({ hostId: HOST.id, points: [], statements: [] }),
};

const MONTH = {
  ...{ name: "2026-01", seconds: 2_678_400n },
  ...{ startsAt: new Date("2026-01-01"), endsAt: new Date("2026-02-01") },
};
const AMOUNTS = { subtotalMicroUsd: 20_000n, creditMicroUsd: 10_000n, totalMicroUsd: 10_000n };
const CREDIT_NOTE = {
  ...{ id: "crn_1" as CreditNoteId, number: 2n, tenantId: OWN, invoiceId: null },
  ...{ amountMicroUsd: 10_000n, reason: "sorry", createdAt: AT },
};

function fakeInvoice(named: string): Invoice {
  const { id: tenantId, name: tenantName } = find(named);
  const closed = { id: "inv_1" as InvoiceId, number: 1n, at: AT };
  const rest = { month: MONTH, lines: [], inputsSha256: "00", closed, forecast: undefined };
  return { ...AMOUNTS, ...{ tenantId, tenantName }, ...rest };
}

const BILLING: Application["billing"] = {
  invoices: async ({ tenant }) => ({ invoices: [fakeInvoice(tenant)], nextPageToken: "" }),
  invoice: async (tenant) => fakeInvoice(tenant),
  render: async ({ tenant }) => ({
    contentType: "text/csv",
    data: new TextEncoder().encode(find(tenant).id),
  }),
  credit: async (_, { tenant }) => ({ ...CREDIT_NOTE, tenantId: find(tenant).id }),
  credits: async ({ tenant }) => ({
    creditNotes: [{ ...CREDIT_NOTE, tenantId: find(tenant).id }],
    ...{ creditLeftMicroUsd: 0n, nextPageToken: "" },
  }),
  summary: async () => {
    const sums = { subtotalMicroUsd: 0n, creditMicroUsd: 0n, derivedAt: AT };
    const running = { name: MONTH.name, tenants: 0, unbillable: 0, ...sums };
    return { months: [], plans: [], running, recurringMicroUsd: 0n, creditLeftMicroUsd: 0n };
  },
  verify: async ({ month }) => {
    return { month, checked: 1, inputsChanged: 0, differences: [], nextPageToken: "" };
  },
};

const RATE = { meter: "api_requests", activeFrom: AT, microUsd: 1n, perUnits: 1n } as const;
const PLAN_PRICE = { plan: "free", activeFrom: AT, basePriceMicroUsd: 0n, allowances: {} };
const HOST_PRICE = { hostId: "any", hostName: null, activeFrom: AT, microUsdPerMonth: 1n } as const;
const PRICING: Application["pricing"] = {
  calculate: async () => ({ ...AMOUNTS, month: MONTH, lines: [] }),
  rates: async () => [RATE],
  addRate: async () => RATE,
  planPrices: async () => [PLAN_PRICE],
  addPlanPrice: async () => PLAN_PRICE,
  hostPrices: async () => [HOST_PRICE],
  addHostPrice: async () => HOST_PRICE,
  cost: async () => ({
    ...{ hostsMicroUsd: 0n, usedMicroUsd: 0n, costs: [], hosts: 1, unpricedHosts: 1 },
    leftOutTenants: 1,
  }),
};

const USAGE: Application["usage"] = {
  ofTenant: async (named) => ({
    ...{ tenantId: find(named).id, month: MONTH, from: AT, to: AT },
    meters: [{ meter: "egress_bytes", amount: 7n, average: 0.5, now: undefined, days: [] }],
  }),
};

const AVAILABILITY: Application["availability"] = {
  ofTenant: async (named) => ({
    ...{ tenantId: find(named).id, month: MONTH, from: AT.getTime(), to: AT.getTime() },
    ...{ knownMinutes: 0, downMinutes: 0, plannedMinutes: 0, unknownMinutes: 0 },
    ...{ availablePercent: undefined, promise: undefined, incidents: [] },
  }),
};

const ALERTS: Application["alerts"] = { list: async () => ({ alerts: [], nextPageToken: "" }) };

function fakeQuotas(named: string): TenantQuotas {
  const { id: tenantId, name: tenantName } = find(named);
  const used = { resource: "storage_bytes", quota: 100n, overridden: false, used: 90n } as const;
  const standing = { tenantId, ...used, usedAt: AT, stage: "warned", since: AT } as const;
  const grace = { seconds: 60, overridden: true };
  const served = { grace, suspendedByQuota: false, reinstatedAt: undefined };
  return { tenantId, tenantName, standings: [standing], ...served };
}

const QUOTAS: Application["quotas"] = {
  get: async (named) => fakeQuotas(named),
  set: async (_, { tenant }) => fakeQuotas(tenant),
  largest: async ({ tenant }) => ({ tenantId: find(tenant).id, relations: [] }),
};

const TENANTS: Application["tenants"] = {
  create: async () => fakeTenant(OWN, PASSWORD),
  get: async (named) => find(named),
  list: async () => ({ tenants: [fakeTenant()], nextPageToken: "more" }),
  update: async (_, named) => find(named),
  restart: async (_, named) => find(named),
  installExtension: async (_, named) => find(named),
  suspend: async (_, named, reason) => ({
    ...find(named),
    ...{ status: "suspended", statusReason: reason },
  }),
  reinstate: async (_, named) => find(named),
  rotate: async (_, named) => fakeTenant(find(named).id, PASSWORD),
  remove: async (_, named) => ({ ...find(named), status: "deleted" }),
};

function fakeIsolation(tenantId: TenantId): IsolationReport {
  return {
    ...{ tenantId, isolation: "schema", provenAt: AT, engine: "18.4", proven: true, rules: [] },
    ...{ notHidden: [], document: "{}", signature: "c2lnbmF0dXJl", keyId: "key" },
  };
}

/** What the API needs besides a real application; `over` replaces parts of it. */
export function fakeApi(over: Partial<Application> = {}): ApiOptions {
  const application: Application = {
    tenants: TENANTS,
    plans: { list: async () => [PLAN], update: async () => PLAN },
    regions: {
      list: async () => [{ name: "us-east-1" as RegionName, hosts: 1, connectedHosts: 1 }],
    },
    hosts: {
      list: async () => [HOST],
      get: async () => ({ ...HOST, fingerprint: sampleFacts().fingerprint }),
      remove: async () => ({ id: HOST.id, name: HOST.name, removedAt: AT, lostTenants: 0 }),
      diagnose: async () => ({
        ...{ findings: [], trash: [], hostsChecked: 1, instancesChecked: 1 },
        tenantsChecked: 1,
      }),
      sweep: async () => [],
    },
    logs: {
      ofTenant: async (named) => ({ text: `log of ${find(named).id}\n`, cursor: "1" }),
      ofInstance: async (instance) => ({ text: `log of ${instance}\n`, cursor: "1" }),
    },
    isolation: {
      get: async (named) => fakeIsolation(find(named).id),
      prove: async (named) => fakeIsolation(find(named).id),
    },
    admission: {
      listJoinTokens: async () => [],
      revokeJoinToken: async () => undefined,
      revokeHost: async () => ({ id: HOST.id, revokedAt: AT }),
      listGateways: async () => [],
      revokeGateway: async (_, { gatewayId: id }) => ({ id, revokedAt: AT }),
    },
    metrics: METRICS,
    ...{ billing: BILLING, pricing: PRICING },
    ...{ usage: USAGE, quotas: QUOTAS, availability: AVAILABILITY, alerts: ALERTS },
    operations: {
      get: async () => OPERATION,
      list: async () => ({ operations: [OPERATION], nextPageToken: "" }),
    },
    events: { list: async () => ({ events: [EVENT], nextPageToken: "" }) },
    keys: {
      create: async () => ({ key: KEY, secret: "adb_key_1_secret" }),
      list: async () => [KEY],
      revoke: async () => undefined,
    },
    sharedTables: {
      list: async () => ({ changes: [SHARED_TABLE_CHANGE], behind: [] }),
      apply: async () => ({ change: SHARED_TABLE_CHANGE, repeated: false }),
    },
    checkReadiness: async () => ({ ready: true, reasons: [] }),
    ...over,
  };
  const isReady = async () => (await application.checkReadiness()).ready;
  return {
    application,
    desk: {
      createJoinToken: async () => ({
        ...{ joinToken: "adb_join_1", tokenId: "1", expiresAt: AT, apiAddress: "127.0.0.1:9090" },
      }),
      join: async () => ({ id: HOST.id, certificate: "C", caCertificate: "A", linkAddress: "L" }),
      renew: async () => ({ certificate: "C", caCertificate: "A" }),
    },
    health: new HealthState(isReady, PLATFORM_SERVICES),
    findKey: async (presented) => {
      const scopes = KEYS[presented];
      return scopes && { id: `key-${presented}`, scopes };
    },
    logger: silent,
  };
}

/** Calls the API without a network. */
export function transportOf(options: ApiOptions): Transport {
  return createRouterTransport(apiRoutes(options), { router: apiRouterOptions(options) });
}

/** What a call was refused with. Fails when it was answered. */
export async function errorOf(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => expect.fail("the call was answered"),
    (error: unknown) => ConnectError.from(error),
  );
}

export function faultCodeOf(error: ConnectError): string | undefined {
  return error.findDetails(FaultDetailSchema)[0]?.code;
}
