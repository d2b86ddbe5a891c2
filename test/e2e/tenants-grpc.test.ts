import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type GrpcCaller, grpcClient } from "../grpc-client.ts";
import { usePlatform } from "../platform.ts";
import { type AnyBody, queryOnce } from "../platform-client.ts";
import { until } from "../until.ts";

const platform = usePlatform();
const open: GrpcCaller[] = [];

function clientOf(file: string, service: string, credentials?: grpc.ChannelCredentials) {
  // By name: TLS does not take an address for a name.
  const address = `localhost:${platform().grpcPort}`;
  const given = credentials === undefined ? {} : { credentials };
  const client = grpcClient({ address, file, service, ...given });
  open.push(client);
  return client;
}

afterAll(() => {
  for (const client of open) client.close();
});

describe("an independent gRPC client", () => {
  let tenants: GrpcCaller;
  beforeAll(() => {
    tenants = clientOf("aerodb/control/v1/tenant_service.proto", "aerodb.control.v1.TenantService");
  });

  test("creates, reads, changes, rotates, lists and deletes a tenant", async () => {
    const { key } = platform();
    const asked = { name: "over-grpc", plan: "free", labels: { by: "grpc" } };
    const made = await tenants.call("CreateTenant", asked, key);
    expect(made.tenant).toMatchObject({ ...asked, status: "active", isolation: "schema" });
    const { uri, password } = made.tenant.connection;
    expect(await queryOnce(uri, "select 1 as one")).toEqual([{ one: 1 }]);

    const read = await tenants.call("GetTenant", { tenant: "over-grpc" }, key);
    expect(read.tenant.tenant_id).toBe(made.tenant.tenant_id);
    expect(JSON.stringify(read)).not.toContain(password);

    const change = { tenant: "over-grpc", plan: "pro", labels: { by: "" } };
    const changed = await tenants.call("UpdateTenant", change, key);
    expect(changed.tenant).toMatchObject({ plan: "pro", labels: {} });

    const rotated = await tenants.call("RotateCredentials", { tenant: "over-grpc" }, key);
    expect(await queryOnce(rotated.tenant.connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);

    const listed = await tenants.call("ListTenants", { name_prefix: "over-" }, key);
    expect(listed.tenants).toHaveLength(1);
    const gone = await tenants.call("DeleteTenant", { tenant: "over-grpc" }, key);
    expect(gone.tenant.status).toBe("deleted");
  });

  test.for([
    ["an unknown tenant", "GetTenant", { tenant: "nobody" }, grpc.status.NOT_FOUND],
    ["a bad name", "CreateTenant", { name: "A", plan: "free" }, grpc.status.INVALID_ARGUMENT],
    ["an unknown plan", "CreateTenant", { name: "abc", plan: "x" }, grpc.status.INVALID_ARGUMENT],
    ["no host", "CreateTenant", { name: "abc", plan: "enterprise" }, grpc.status.UNAVAILABLE],
    ["too large a page", "ListTenants", { page_size: 5000 }, grpc.status.INVALID_ARGUMENT],
  ] as const)("gets the code that fits %s, with a sentence", async ([, method, message, code]) => {
    const error = await tenants.call(method, message, platform().key).catch((thrown) => thrown);
    expect(error).toMatchObject({ code });
    expect(error.details).toMatch(/\S+ \S+/);
  });

  test("gets ALREADY_EXISTS for a name that is taken", async () => {
    const asked = { name: "taken-name", plan: "free" };
    await tenants.call("CreateTenant", asked, platform().key);
    const again = tenants.call("CreateTenant", asked, platform().key);
    await expect(again).rejects.toMatchObject({ code: grpc.status.ALREADY_EXISTS });
  });

  test("is UNAUTHENTICATED without a key and with one that nobody made", async () => {
    for (const key of [undefined, "adb_platform_nonsense"]) {
      const asked = tenants.call("ListTenants", {}, key);
      await expect(asked).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
    }
  });

  test("may also speak TLS, verified by the platform's certificate authority", async () => {
    const names = readdirSync(platform().home, { recursive: true, encoding: "utf8" });
    const file = names.find((name) => /^control\/(.*\/)?ca\.crt$/.test(name)) ?? "";
    const authority = readFileSync(join(platform().home, file));
    const secure = clientOf(
      "aerodb/control/v1/region_service.proto",
      "aerodb.control.v1.RegionService",
      grpc.credentials.createSsl(authority),
    );
    const answer = await secure.call("ListRegions", {}, platform().key);
    expect(answer.regions).toMatchObject([{ name: "us-east-1" }]);
  });
});

test("gRPC health says SERVING for the whole and for each service, without a key", async () => {
  const health = clientOf("grpc/health/v1/health.proto", "grpc.health.v1.Health");
  for (const service of ["", "aerodb.control.v1.TenantService"]) {
    expect(await health.call("Check", { service })).toMatchObject({ status: 1 });
  }
  const unknown = health.call("Check", { service: "no.such.Service" });
  await expect(unknown).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
});

test.for(["v1", "v1alpha"])(
  "gRPC reflection %s lists and describes the services",
  async (version) => {
    const file = `grpc/reflection/${version}/reflection.proto`;
    const reflection = clientOf(file, `grpc.reflection.${version}.ServerReflection`);
    const stream = reflection.stream("ServerReflectionInfo");
    const answers: AnyBody[] = [];
    stream.on("data", (answer) => answers.push(answer)).on("error", () => undefined);
    stream.write({ list_services: "" });
    stream.write({ file_containing_symbol: "aerodb.control.v1.TenantService" });
    await until("two answers of reflection", () => answers.length === 2);
    stream.end();
    const names = answers[0].list_services_response.service.map((each: AnyBody) => each.name);
    expect(names).toContain("aerodb.control.v1.TenantService");
    expect(names).toContain("grpc.health.v1.Health");
    expect(answers[1].file_descriptor_response.file_descriptor_proto.length).toBeGreaterThan(0);
  },
);

describe("Connect JSON", () => {
  test.for(["restPort", "grpcPort"] as const)("works over plain HTTP on the %s", async (port) => {
    const service = `http://127.0.0.1:${platform()[port]}/aerodb.control.v1.TenantService`;
    const name = `connect-${port.toLowerCase()}`;
    const ask = async (method: string, body: object, authorization: string) => {
      const headers = { "content-type": "application/json", authorization };
      const sent = { method: "POST", headers, body: JSON.stringify(body) };
      const response = await fetch(`${service}/${method}`, sent);
      return { status: response.status, body: (await response.json()) as AnyBody };
    };
    const bearer = `Bearer ${platform().key}`;
    const made = await ask("CreateTenant", { name, plan: "free" }, bearer);
    expect(made.status).toBe(200);
    expect(await queryOnce(made.body.tenant.connection.uri, "select 1 as one")).toHaveLength(1);
    const again = await ask("CreateTenant", { name, plan: "free" }, bearer);
    expect(again).toMatchObject({ status: 409, body: { code: "already_exists" } });
    const unknown = await ask("GetTenant", { tenant: "nobody" }, "");
    expect(unknown).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
  });
});
