import { Fault } from "@aerodb/model";
import { IsolationReportSchema } from "@aerodb/rpc/aerodb/control/v1/isolation_pb.js";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { createOutput, type Format } from "../output.ts";
import type { Session } from "../session.ts";
import { verifyAll } from "./verify.ts";

/** A platform with three tenants, of which the second cannot be proven. */
function session(format: Format, error: Error): Session & { readonly shown: readonly string[] } {
  const shown: string[] = [];
  const output = createOutput(format, { write: (text: string) => shown.push(text) > 0 });
  const tenants = {
    listTenants: async () => ({
      tenants: ["a", "b", "c"].map((tenantId) => ({ tenantId })),
      nextPageToken: "",
    }),
    proveTenantIsolation: async ({ tenant }: { readonly tenant: string }) => {
      if (tenant === "b") throw error;
      return { report: create(IsolationReportSchema, { tenantId: tenant, proven: true }) };
    },
  };
  return { api: { tenants }, output, shown } as unknown as ReturnType<typeof session>;
}

test.each([
  ["a deadline that the client has", new Error("deadline exceeded")],
  ["what the host says", new Fault("UNAVAILABLE", "Not proven in time: a lock was held.")],
])("one that is not proven in time keeps no other from being proven: %s", async (_, error) => {
  const table = session("table", error);
  expect(await verifyAll(table, { all: true })).toBe(1);
  expect(table.shown.join("")).toMatch(/^a .*yes.*\nc .*yes/m);
  expect(table.shown.join("")).toContain(`Not proven, of 3: 1\n- b: ${error.message}`);

  const json = session("json", error);
  expect(await verifyAll(json, { all: true })).toBe(1);
  expect(JSON.parse(json.shown.join(""))).toMatchObject([
    { tenant_id: "a", proven: true },
    { tenant_id: "c", proven: true },
    { tenant_id: "b", proven: null, unproven_because: error.message },
  ]);
});

test("what will be refused of every tenant ends it at once", async () => {
  const refused = new Fault("PERMISSION_DENIED", "not with this key");
  await expect(verifyAll(session("table", refused), { all: true })).rejects.toBe(refused);
});
