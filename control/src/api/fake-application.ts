/** An application with one tenant in it, for tests of what stands before it. */
import type {
  HostId,
  InstanceId,
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
import type { IsolationReport } from "../app/isolation.ts";
import type { Operation } from "../app/operations.ts";
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
