import { Fault } from "@aerodb/model";
import { BillingService } from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import { FaultDetailSchema } from "@aerodb/rpc/aerodb/control/v1/fault_pb.js";
import { PricingService } from "@aerodb/rpc/aerodb/control/v1/pricing_service_pb.js";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { UsageService } from "@aerodb/rpc/aerodb/control/v1/usage_service_pb.js";
import { silent } from "@aerodb/runtime";
import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import type { Application } from "./application.ts";
import { errorOf, fakeApi, faultCodeOf, OWN, PASSWORD, transportOf } from "./fake-application.ts";
import type { ApiOptions } from "./routes.ts";

function tenantsOf(options: ApiOptions = fakeApi(), key = "platform:admin") {
  const client = createClient(TenantService, transportOf(options));
  const headers = { authorization: `Bearer ${key}` };
  return {
    create: (ask: Parameters<typeof client.createTenant>[0]) =>
      client.createTenant(ask, { headers }),
    get: (tenant: string) => client.getTenant({ tenant }, { headers }),
    rotate: (tenant: string) => client.rotateCredentials({ tenant }, { headers }),
    list: (ask: Parameters<typeof client.listTenants>[0]) => client.listTenants(ask, { headers }),
  };
}

function withTenants(over: Partial<Application["tenants"]>): ApiOptions {
  const options = fakeApi();
  return fakeApi({ tenants: { ...options.application.tenants, ...over } });
}

test("a tenant is answered whole, with its password when it is new", async () => {
  const { tenant } = await tenantsOf().create({ name: "acme-corp", plan: "free" });
  expect(tenant).toMatchObject({
    tenantId: OWN,
    name: "acme-corp",
    status: "active",
    databaseUrl: "https://acme-corp.example.com",
    labels: { team: "blue" },
    connection: { password: PASSWORD, database: "acme-corp", user: OWN, port: 6_432 },
  });
});

test("a fault is answered with its code, its sentence and its details", async () => {
  const details = { hosts: [{ host: "host-1", reason: "full" }] };
  const options = withTenants({
    create: async () => {
      throw new Fault("NO_FEASIBLE_HOST", "No host can take it.", { details });
    },
  });
  const error = await errorOf(tenantsOf(options).create({ name: "acme-corp" }));
  expect(error.code).toBe(Code.Unavailable);
  expect(error.rawMessage).toBe("No host can take it.");
  expect(error.findDetails(FaultDetailSchema)[0]).toMatchObject({
    code: "NO_FEASIBLE_HOST",
    details,
  });
});

test("amounts beyond what a message can say are told as the largest that it can", async () => {
  const options = fakeApi();
  const { usage } = options.application;
  const ofTenant: typeof usage.ofTenant = async (tenant) => {
    const answer = await usage.ofTenant(tenant);
    const most = { amount: 2n ** 70n, days: [{ date: "2026-01-01", amount: 2n ** 70n }] };
    return { ...answer, meters: answer.meters.map((each) => ({ ...each, ...most })) };
  };
  const client = createClient(UsageService, transportOf(fakeApi({ usage: { ofTenant } })));
  const headers = { authorization: "Bearer platform:admin" };
  const answer = await client.getTenantUsage({ tenant: OWN }, { headers });
  const largest = 2n ** 63n - 1n;
  expect(answer.usage?.meters).toMatchObject([{ amount: largest, days: [{ amount: largest }] }]);
});

test("sums of bills and costs beyond what a message can say are told as the largest", async () => {
  const options = fakeApi();
  const { billing, pricing } = options.application;
  const [much, largest] = [2n ** 70n, 2n ** 63n - 1n];
  const sums = { subtotalMicroUsd: much, creditMicroUsd: 0n, totalMicroUsd: much };
  const toldSums = { subtotalMicroUsd: largest, totalMicroUsd: largest };
  const summary: typeof billing.summary = async () => {
    const answer = await billing.summary();
    const months = [{ name: "2026-01", closed: true, invoices: 2, ...sums }];
    return { ...answer, months, running: { ...answer.running, ...sums } };
  };
  const use = { memoryBytes: much, cpuMicros: much, storageBytes: much };
  const costs = [
    {
      ...({ plan: "free", isolation: "schema", tenants: 1n, scarce: "cpu", use } as const),
      ...{ whenFullMicroUsd: much, nowMicroUsd: much },
    },
  ];
  const cost = async () => ({ ...(await pricing.cost()), usedMicroUsd: much, costs });
  const transport = transportOf(
    fakeApi({ billing: { ...billing, summary }, pricing: { ...pricing, cost } }),
  );
  const headers = { authorization: "Bearer platform:admin" };
  const billed = await createClient(BillingService, transport).getBillingSummary({}, { headers });
  expect(billed).toMatchObject({ months: [toldSums], running: toldSums });
  expect(
    await createClient(PricingService, transport).calculateCost({}, { headers }),
  ).toMatchObject({
    usedMicroUsd: largest,
    costs: [{ memoryBytes: largest, cpuMicros: largest, whenFullMicroUsd: largest }],
  });
});

test("a bug answers INTERNAL with the request id, and keeps its text to itself", async () => {
  const options = withTenants({
    create: async () => {
      throw new Error("password=hunter2");
    },
  });
  const error = await errorOf(tenantsOf(options).create({ name: "acme-corp" }));
  expect(error.code).toBe(Code.Internal);
  expect(String(error)).not.toContain("hunter2");
  expect(error.metadata.get("x-request-id")).toMatch(/^[\w-]{22}$/);
});

test("an overlong field is INVALID_ARGUMENT and is named", async () => {
  const error = await errorOf(tenantsOf().create({ name: "a".repeat(300) }));
  expect(error.code).toBe(Code.InvalidArgument);
  expect(faultCodeOf(error)).toBe("INVALID_ARGUMENT");
  expect(error.rawMessage).toMatch(/^name: /);
  const page = await errorOf(tenantsOf().list({ pageSize: 1_001 }));
  expect(page.rawMessage).toMatch(/^page_size: /);
});

test("a label that cannot be is named by its key", async () => {
  const labels = { fine: "x", team: "a".repeat(300) };
  const error = await errorOf(tenantsOf().create({ name: "acme", labels }));
  expect(error.code).toBe(Code.InvalidArgument);
  expect(error.rawMessage).toMatch(/^labels\["team"\]: /);
  const longName = { ["k".repeat(100)]: "x" };
  const key = await errorOf(tenantsOf().create({ name: "acme", labels: longName }));
  expect(key.rawMessage).toMatch(/^labels\["k{64}"\] \(the name\): /);
});

test("no secret reaches the log, whatever is answered", async () => {
  let log = "";
  const write = (...parts: unknown[]): void => {
    log += JSON.stringify(parts);
  };
  const levels = { debug: write, info: write, warn: write, error: write };
  const options = {
    ...withTenants({
      create: async () => {
        throw new Fault("TENANT_NAME_EXISTS", "The name is taken.");
      },
    }),
    logger: Object.assign(Object.create(silent), levels),
  };
  const client = tenantsOf(options, "platform:admin");
  await client.rotate(OWN);
  await errorOf(client.create({ name: "acme-corp" }));
  await errorOf(tenantsOf(options, "adb_key_unknown_secret").get(OWN));
  expect(log).toContain("RotateCredentials");
  expect(log).toContain("AlreadyExists");
  for (const secret of [PASSWORD, "Bearer", "adb_key_unknown_secret"]) {
    expect(log).not.toContain(secret);
  }
});

describe("a caller's own request id", () => {
  test.each([
    ["usable", "my-request-0001", "my-request-0001"],
    ["unusable", "<script>", undefined],
  ])("that is %s", async (_, given, expected) => {
    const client = createClient(TenantService, transportOf(fakeApi()));
    const headers = { authorization: "Bearer platform:admin", "x-request-id": given };
    let answered: string | null = null;
    await client.getTenant(
      { tenant: OWN },
      { headers, onHeader: (header) => (answered = header.get("x-request-id")) },
    );
    if (expected === undefined) expect(answered).not.toBe(given);
    else expect(answered).toBe(expected);
  });
});
