import type { DescMethodUnary, DescService } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  errorOf,
  FOREIGN,
  fakeApi,
  fakeTenant,
  faultCodeOf,
  KEYS,
  OWN,
  transportOf,
} from "../api/fake-application.ts";
import { SERVICES } from "../api/routes.ts";
import { rowOf } from "./authorisation.ts";

const unary = SERVICES.flatMap((service: DescService) => service.methods).filter(
  (method): method is DescMethodUnary => method.methodKind === "unary",
);

function call(
  method: DescMethodUnary,
  key: string | undefined,
  tenant: string = OWN,
): Promise<unknown> {
  const transport = transportOf(fakeApi());
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const valid: Readonly<Record<string, object>> = {
    UpdatePlan: { plan: "free" },
    ApplySharedTables: { name: "notes.sql", sql: "select 1" },
    GetHost: { host: "host-1" },
    DeleteHost: { host: "host-1" },
    GetTenantUsageOfMonth: { tenant, month: "2026-11" },
    GetHostMetrics: { host: "host-1" },
    CreateJoinToken: { kind: "host", region: "us-east-1" },
    RevokeJoinToken: { tokenId: "token-1" },
    GetInstanceLogs: { instanceId: "ins_1" },
    SweepOrphans: { findings: [{ kind: "TRASH" }] },
    RevokeHost: { host: "host-1" },
    RevokeGateway: { gatewayId: "gtw_1" },
    GetOperation: { operationId: "op_1" },
    CreateKey: { name: "ci", scopes: ["platform:read"] },
    RevokeKey: { keyId: "key_1" },
    InstallExtension: { tenant, name: "citext" },
    CreateHostPrice: { host: "any" },
    GetInvoice: { tenant, invoice: "current" },
    RenderInvoice: { tenant, invoice: "current", format: "pdf" },
    CreateCreditNote: { tenant, amountMicroUsd: 10_000n, reason: "sorry" },
    RecomputeInvoices: { month: "2026-01" },
    CalculatePrice: { plan: "free" },
    CreateRate: { meter: "api_requests", activeFrom: "2099-01", microUsd: 1n, perUnits: 1n },
    CreatePlanPrice: { plan: "free", activeFrom: "2099-01" },
    SuspendTenant: { tenant, reason: "unpaid" },
    Join: { joinToken: "t", certificateRequest: "c", name: "host-1" },
  };
  const ask = valid[method.name] ?? (method.input.field["tenant"] !== undefined ? { tenant } : {});
  return transport.unary(method, undefined, undefined, headers, ask as never);
}

test("every RPC has a row", () => {
  for (const method of SERVICES.flatMap((service: DescService) => service.methods)) {
    expect(rowOf(method), `${method.name} needs a row in authorisation.ts`).not.toEqual([]);
  }
});

for (const method of unary) {
  const row = rowOf(method);
  for (const key of Object.keys(KEYS)) {
    const allowed = row === "public" || row.some((scope) => scope === key);
    test(`${method.name} with ${key} is ${allowed ? "allowed" : "denied"}`, async () => {
      if (allowed) await call(method, key);
      else expect((await errorOf(call(method, key))).code).toBe(Code.PermissionDenied);
    });
  }

  if (row === "public") continue;
  test.each([undefined, "unknown"])(
    `${method.name} with the key %s is unauthenticated`,
    async (key) => {
      const error = await errorOf(call(method, key));
      expect(error.code).toBe(Code.Unauthenticated);
      expect(faultCodeOf(error)).toBe("UNAUTHENTICATED");
    },
  );

  if (!row.includes("tenant")) continue;
  test(`${method.name} of a foreign tenant is as if it did not exist`, async () => {
    for (const foreign of [FOREIGN, "other-corp", "no-such-tenant"]) {
      const error = await errorOf(call(method, "tenant", foreign));
      expect(error.code).toBe(Code.NotFound);
      expect(error.rawMessage).toBe(`There is no tenant ${JSON.stringify(foreign)}.`);
    }
  });
  test(`${method.name} of one's own tenant works by name`, async () => {
    await call(method, "tenant", fakeTenant().name);
  });
}
