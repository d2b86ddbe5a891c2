import { EXIT } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PLATFORM_SERVICES } from "../../control/src/api/routes.ts";
import type { AnyBody } from "../platform-client.ts";
import { describeAvailabilityRpcs } from "./availability-rpcs.ts";
import { describeBillingRpcs } from "./billing-rpcs.ts";
import { type Door, expectFault, openDoors, Refusal } from "./doors.ts";
import { describeFleetRpcs } from "./fleet-rpcs.ts";
import { PLATFORM_KEY, type ServedControl, serveControl } from "./served-control.ts";

const EVERY_RPC = PLATFORM_SERVICES.flatMap(({ name, methods }) =>
  methods.map((method) => `${name}/${method.name}`),
);

let served: ServedControl;
let doors: readonly Door[];

beforeAll(async () => {
  served = await serveControl();
  doors = openDoors(served);
});

afterAll(async () => {
  for (const door of doors) door.close();
  await served.close();
});

describe.each(["Connect", "gRPC", "REST"])("through %s", (name) => {
  const called = new Set<string>();
  const tenantName = `contract-${name.toLowerCase()}`;
  let tenant: AnyBody;

  function door(): Door {
    const found = doors.find((each) => each.name === name);
    return found ?? expect.fail(`there is no door ${name}`);
  }

  function call(rpc: string, message: object = {}, key?: string): Promise<AnyBody> {
    called.add(rpc);
    return door().call(rpc, message, key);
  }

  async function refused(rpc: string, message: object, key?: string): Promise<Refusal> {
    const error = await call(rpc, message, key).then(
      (answer) => expect.fail(`${rpc} was answered: ${JSON.stringify(answer)}`),
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Refusal);
    return error as Refusal;
  }

  test("a tenant is created, and its password is shown", async () => {
    const ask = { name: tenantName, plan: "free", region: "us-east-1", labels: { team: "blue" } };
    ({ tenant } = await call("TenantService/CreateTenant", ask));
    expect(tenant).toMatchObject({
      tenant_id: expect.stringMatching(/^ten_[0-9a-z]{26}$/),
      ...ask,
      isolation: "schema",
      status: "active",
      database_url: `https://${tenantName}.example.com`,
      connection: { database: tenantName, user: tenant.tenant_id },
    });
    expect(tenant.connection.password.length).toBeGreaterThanOrEqual(32);
  });

  test("the name is taken then", async () => {
    const again = { name: tenantName, plan: "free", region: "us-east-1" };
    const refusal = await refused("TenantService/CreateTenant", again);
    expectFault(refusal, "ALREADY_EXISTS", "TENANT_NAME_EXISTS");
    expect(refusal.message).toContain(tenantName);
  });

  test("a dedicated tenant has an instance of its own", async () => {
    const ask = { name: `${tenantName}-pro`, plan: "pro", region: "us-east-1" };
    const { tenant: made } = await call("TenantService/CreateTenant", ask);
    expect(made).toMatchObject({ isolation: "database", status: "active" });
    const part = { tenant: made.name, cursor: "7", max_bytes: "1000" };
    expect(await call("TenantService/GetTenantLogs", part)).toEqual({
      text: expect.stringMatching(/^log of ins_[0-9a-z]{26} after 7\n$/),
      cursor: "42",
    });
    await call("TenantService/DeleteTenant", { tenant: made.tenant_id });
  });

  test("a schema tenant has no log of its own; its instance has one, for who may see it", async () => {
    const refusal = await refused("TenantService/GetTenantLogs", { tenant: tenantName });
    expect(refusal.message).toContain("a shared instance, whose log is everybody's");
    expect(["LOG_IS_SHARED", undefined]).toContain(refusal.code);
    const { text } = await call("HostService/GetInstanceLogs", { instance_id: tenantName });
    expect(text).toMatch(/^log of ins_[0-9a-z]{26} after nothing\n$/);
    const unknown = await refused("HostService/GetInstanceLogs", { instance_id: "ins_x" });
    expectFault(unknown, "NOT_FOUND", "INSTANCE_NOT_FOUND");
  });

  test("its isolation is proven when asked, and what was found is signed and kept", async () => {
    const found = await call("TenantService/ProveTenantIsolation", { tenant: tenantName });
    const report = found.report ?? found;
    expect(report).toMatchObject({
      ...{ tenant_id: tenant.tenant_id, isolation: "schema", engine: "18.4", proven: true },
      rules: [{ id: "role.present", subject: "tenants", checked: 1, held: 1 }],
    });
    expect(JSON.parse(report.document)).toMatchObject({ tenant_id: tenant.tenant_id });
    expect(report.signature).toMatch(/^[A-Za-z0-9+/]+=*$/);
    const kept = await call("TenantService/GetTenantIsolation", { tenant: tenantName });
    expect((kept.report ?? kept).document).toBe(report.document);
    const unknown = await refused("TenantService/GetTenantIsolation", { tenant: "nobody" });
    expectFault(unknown, "NOT_FOUND", "TENANT_NOT_FOUND");
  });

  test("a cluster is refused with every host and its reason, and nothing is left", async () => {
    const ask = { name: `${tenantName}-big`, plan: "enterprise", region: "us-east-1" };
    expectFault(
      await refused("TenantService/CreateTenant", ask),
      "UNAVAILABLE",
      "NO_FEASIBLE_HOST",
    );
    const gone = await refused("TenantService/GetTenant", { tenant: ask.name });
    expectFault(gone, "NOT_FOUND", "TENANT_NOT_FOUND");
  });

  test.each([
    ["a bad name", { name: "Acme Corp", plan: "free" }, "INVALID_TENANT_NAME"],
    ["an unknown plan", { name: "some-name", plan: "gold" }, "PLAN_NOT_FOUND"],
    ["an unknown region", { name: "some-name", plan: "free", region: "x" }, "REGION_NOT_FOUND"],
    [
      "an unknown isolation",
      { name: "some-name", plan: "free", isolation: "none" },
      "INVALID_ISOLATION_MODEL",
    ],
    ["an overlong name", { name: "a".repeat(256), plan: "free" }, "INVALID_ARGUMENT"],
  ])("%s is refused", async (_, ask, code) => {
    expectFault(await refused("TenantService/CreateTenant", ask), "INVALID_ARGUMENT", code);
  });

  test("a tenant is found by id and by name, without its password", async () => {
    for (const named of [tenant.tenant_id, tenantName]) {
      const { tenant: found } = await call("TenantService/GetTenant", { tenant: named });
      expect(found.tenant_id).toBe(tenant.tenant_id);
      expect(found.connection.password ?? "").toBe("");
      expect(found.connection.uri).not.toContain(tenant.connection.password);
    }
  });

  test("tenants are listed in pages", async () => {
    const filter = { name_prefix: "contract-", page_size: "1" };
    const first = await call("TenantService/ListTenants", filter);
    expect(first.tenants).toHaveLength(1);
    const wrong = { page_size: "1", page_token: "nonsense" };
    const refusal = await refused("TenantService/ListTenants", wrong);
    expectFault(refusal, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN");
  });

  test("labels and plan are changed within the isolation", async () => {
    const change = { tenant: tenantName, plan: "pro", labels: { team: "", tier: "1" } };
    const { tenant: changed } = await call("TenantService/UpdateTenant", change);
    expect(changed).toMatchObject({ plan: "pro", isolation: "schema", labels: { tier: "1" } });
    expect(changed.labels.team).toBeUndefined();
  });

  test("settings, extensions and a restart are for who may have them", async () => {
    const ask = { name: `${tenantName}-own`, plan: "pro", region: "us-east-1" };
    const { tenant: own } = await call("TenantService/CreateTenant", ask);
    const settings = { work_mem: "8MB", enable_seqscan: "true" };
    const change = { tenant: own.tenant_id, settings };
    const { tenant: changed } = await call("TenantService/UpdateTenant", change);
    expect(changed.settings).toEqual({ work_mem: "8MB", enable_seqscan: "on" });
    expectFault(
      await refused("TenantService/UpdateTenant", {
        tenant: own.tenant_id,
        settings: { archive_command: "id" },
      }),
      "INVALID_ARGUMENT",
      "INVALID_ARGUMENT",
    );
    const wish = { tenant: own.tenant_id, name: "citext" };
    const { tenant: extended } = await call("TenantService/InstallExtension", wish);
    expect(extended.extensions).toEqual(["citext"]);
    const { tenant: restarted } = await call("TenantService/RestartTenant", {
      tenant: own.tenant_id,
    });
    expect(restarted).toMatchObject({ settings: changed.settings, extensions: ["citext"] });
    await call("TenantService/DeleteTenant", { tenant: own.tenant_id });

    const forbidden = await refused("TenantService/InstallExtension", { ...wish, name: "dblink" });
    expectFault(forbidden, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    expect(forbidden.message).toContain("Allowed are: btree_gin");
    const shared = { tenant: tenantName, settings: { work_mem: "1MB" } };
    for (const refusal of [
      await refused("TenantService/RestartTenant", { tenant: tenantName }),
      await refused("TenantService/UpdateTenant", shared),
    ]) {
      expect(["SHARED_INSTANCE", undefined]).toContain(refusal.code);
      expect(refusal.message).toContain(`${tenantName} shares its instance with others`);
    }
  });

  test("the password is replaced", async () => {
    const { tenant: rotated } = await call("TenantService/RotateCredentials", {
      tenant: tenantName,
    });
    expect(rotated.connection.password).not.toBe(tenant.connection.password);
    expect(rotated.connection.password.length).toBeGreaterThanOrEqual(32);
  });

  test("a tenant is suspended and reinstated, as often as is asked", async () => {
    const named = { tenant: tenantName };
    for (const reason of ["invoice 7 is unpaid", "invoice 8 is unpaid"]) {
      const { tenant: suspended } = await call("TenantService/SuspendTenant", { ...named, reason });
      expect(suspended).toMatchObject({ status: "suspended", status_reason: reason });
    }
    const filter = { name_prefix: tenantName, status: "suspended" };
    const { tenants } = await call("TenantService/ListTenants", filter);
    expect(tenants.map((each: AnyBody) => each.name)).toEqual([tenantName]);
    for (const refusal of [
      await refused("TenantService/RotateCredentials", named),
      await refused("TenantService/InstallExtension", { ...named, name: "citext" }),
    ]) {
      expect(["TENANT_NOT_ACTIVE", undefined]).toContain(refusal.code);
      expect(refusal.message).toBe(`The tenant ${tenantName} is suspended: reinstate it first.`);
    }
    for (let times = 0; times < 2; times += 1) {
      const { tenant: back } = await call("TenantService/ReinstateTenant", named);
      expect(back).toMatchObject({ status: "active" });
    }
    for (const reason of ["", "x".repeat(501)]) {
      const refusal = await refused("TenantService/SuspendTenant", { ...named, reason });
      expectFault(refusal, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    }
    const unknown = { tenant: "no-such-tenant" };
    for (const refusal of [
      await refused("TenantService/SuspendTenant", { ...unknown, reason: "why" }),
      await refused("TenantService/ReinstateTenant", unknown),
    ]) {
      expectFault(refusal, "NOT_FOUND", "TENANT_NOT_FOUND");
    }
  });

  test("operations tell what was done", async () => {
    const filter = { tenant_id: tenant.tenant_id };
    const { operations } = await call("OperationService/ListOperations", filter);
    const created = operations.at(-1);
    expect(created).toMatchObject({
      kind: "create_tenant",
      tenant_id: tenant.tenant_id,
      done: true,
    });
    const { operation } = await call("OperationService/GetOperation", {
      operation_id: created.operation_id,
    });
    expect(operation.steps.length).toBeGreaterThan(0);
    const unknown = await refused("OperationService/GetOperation", { operation_id: "op_x" });
    expectFault(unknown, "NOT_FOUND", "OPERATION_NOT_FOUND");
  });

  test("events tell what was changed, by whom, and nothing that is secret", async () => {
    const filter = { subject: tenant.tenant_id, kind: "tenant." };
    const { events } = await call("EventService/ListEvents", filter);
    const created = events.at(-1);
    expect(created).toMatchObject({
      ...{ kind: "tenant.create", subject: tenant.tenant_id },
      ...{ event_id: expect.stringMatching(/^evt_\d+$/), at: expect.anything() },
      ...{ actor: expect.stringMatching(/^key_/), after: expect.objectContaining({}) },
    });
    expect(created.request_id).not.toBe("");
    const first = await call("EventService/ListEvents", { page_size: "1" });
    const { next_page_token: page_token } = first;
    const second = await call("EventService/ListEvents", { page_size: "1", page_token });
    expect(second.events[0].event_id).not.toBe(first.events[0].event_id);
    const wrong = await refused("EventService/ListEvents", { ...filter, page_token });
    expectFault(wrong, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN");
    const all = await call("EventService/ListEvents", { page_size: "1000" });
    expect(JSON.stringify(all)).not.toMatch(/SCRAM-SHA-256|adb_(key|join)_|password/);
  });

  describeFleetRpcs({ served: () => served, door, call, refused, tenantName });

  describeBillingRpcs({ door, call, refused, tenantName });

  describeAvailabilityRpcs({ call, refused, tenantName });

  test("readiness is told without a key", async () => {
    if (!door().serves("PlatformService/CheckReadiness")) return;
    expect(await call("PlatformService/CheckReadiness", {}, "")).toMatchObject({ ready: true });
  });

  test("a key may do what its scopes say, until it is revoked", async () => {
    const ask = { name: name, scopes: [`tenant:${tenant.tenant_id}`] };
    const { key } = await call("KeyService/CreateKey", ask);
    const get = { tenant: tenantName };
    expect(await call("TenantService/GetTenant", get, key.secret)).toBeDefined();
    expectFault(
      await refused("TenantService/DeleteTenant", get, key.secret),
      "PERMISSION_DENIED",
      "PERMISSION_DENIED",
    );
    for (const denied of [
      await refused("TenantService/SuspendTenant", { ...get, reason: "mine" }, key.secret),
      await refused("TenantService/ReinstateTenant", get, key.secret),
    ]) {
      expectFault(denied, "PERMISSION_DENIED", "PERMISSION_DENIED");
    }
    expectFault(
      await refused("TenantService/GetTenant", { tenant: "other-corp" }, key.secret),
      "NOT_FOUND",
      "TENANT_NOT_FOUND",
    );
    const { keys } = await call("KeyService/ListKeys");
    expect(keys.map((each: AnyBody) => each.key_id)).toContain(key.key_id);
    expect(JSON.stringify(keys)).not.toContain(key.secret);

    await call("KeyService/RevokeKey", { key_id: key.key_id });
    expectFault(
      await refused("KeyService/RevokeKey", { key_id: key.key_id }),
      "NOT_FOUND",
      "KEY_NOT_FOUND",
    );
    await expect
      .poll(() => call("TenantService/GetTenant", get, key.secret).catch(({ status }) => status), {
        timeout: 3_000,
      })
      .toBe("UNAUTHENTICATED");
  });

  test("nobody gets in without a key", async () => {
    const refusal = await refused("TenantService/ListTenants", {}, "");
    expectFault(refusal, "UNAUTHENTICATED", "UNAUTHENTICATED");
  });

  test("a tenant is deleted once", async () => {
    const { tenant: deleted } = await call("TenantService/DeleteTenant", { tenant: tenantName });
    expect(deleted.status).toBe("deleted");
    expectFault(
      await refused("TenantService/DeleteTenant", { tenant: tenantName }),
      "NOT_FOUND",
      "TENANT_NOT_FOUND",
    );
  });

  test("text that Postgres cannot hold is refused and is no fault of the platform", async () => {
    const texts = ["a\u0000b", "'; drop table tenants; --", "\ud800"];
    for (const text of name === "Connect" ? texts : texts.slice(0, 2)) {
      const asked = name === "REST" ? encodeURIComponent(text) : text;
      for (const [rpc, field] of [
        ["TenantService/GetTenant", "tenant"],
        ["HostService/GetHost", "host"],
        ["OperationService/GetOperation", "operation_id"],
        ["KeyService/RevokeKey", "key_id"],
      ] as const) {
        const { status } = await refused(rpc, { [field]: asked });
        expect(["NOT_FOUND", "INVALID_ARGUMENT"]).toContain(status);
      }
      const filter = { name_prefix: text, plan: text };
      const list = await call("TenantService/ListTenants", filter).catch(({ status }) => status);
      expect([{ tenants: [], next_page_token: "" }, {}, "INVALID_ARGUMENT"]).toContainEqual(list);
    }
  });

  test("every RPC was called", () => {
    expect([...called].sort()).toEqual(EVERY_RPC.filter((rpc) => door().serves(rpc)).sort());
  });
});

test("a second control on the same port ends with one sentence that names port and flag", async () => {
  const { code, stderr } = await served.startAnother();
  expect(code).toBe(EXIT.unavailable);
  expect(stderr).toBe(
    `Port ${served.apiPort} on 127.0.0.1 is taken: ` +
      "choose another with --grpc-port (AERODB_GRPC_PORT).\n",
  );
});

test("no secret reached the log of control, and no bug either", () => {
  const log = served.log();
  expect(log).toContain("agent connected");
  for (const secret of [PLATFORM_KEY, "SCRAM-SHA-256$", "adb_join_", "BEGIN "]) {
    expect(log).not.toContain(secret);
  }
  // A request id may have the three letters in it.
  expect(log.split("\n").filter((line) => /\bbug\b/.test(line))).toEqual([]);
});

test("control ends cleanly when it is asked to", async () => {
  expect(await served.stopControl()).toBe(0);
});
