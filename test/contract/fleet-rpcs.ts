/** What every door says of plans, hosts, gateways and who may join: part of the suite over RPCs. */
import { expect, test } from "vitest";
import type { AnyBody } from "../platform-client.ts";
import { type Door, expectFault, type Refusal } from "./doors.ts";
import type { ServedControl } from "./served-control.ts";

export interface FleetRpcs {
  readonly served: () => ServedControl;
  readonly door: () => Door;
  readonly call: (rpc: string, message?: object, key?: string) => Promise<AnyBody>;
  readonly refused: (rpc: string, message: object, key?: string) => Promise<Refusal>;
  /** A schema tenant that is there. */
  readonly tenantName: string;
}

export function describeFleetRpcs(rpcs: FleetRpcs): void {
  describeFleet(rpcs);
  describeDoctor(rpcs);
  describeJoining(rpcs);
  describeSharedTables(rpcs);
  describeRemoval(rpcs);
}

function describeSharedTables({ door, call, refused }: FleetRpcs): void {
  test("a change of shared tables is applied once, and refused with what is wrong", async () => {
    const ask = { name: `${door().name.toLowerCase()}.sql`, sql: "create table t ()" };
    const applied = await call("SharedTableService/ApplySharedTables", ask);
    expect(applied.change).toMatchObject({ name: ask.name, instances: 1, instances_applied: 1 });
    const again = await call("SharedTableService/ApplySharedTables", ask);
    expect(again).toMatchObject({ repeated: true, change: { number: applied.change.number } });
    const { changes } = await call("SharedTableService/ListSharedTables");
    expect(changes.at(-1)).toMatchObject({ name: ask.name, sha256: applied.change.sha256 });

    const edited = await refused("SharedTableService/ApplySharedTables", { ...ask, sql: "other" });
    expectFault(edited, "ALREADY_EXISTS", "SHARED_TABLES_NAME_EXISTS");
    const wrong = { name: "wrong.sql", sql: "wrong" };
    const refusal = await refused("SharedTableService/ApplySharedTables", wrong);
    expectFault(refusal, "INVALID_ARGUMENT", "SHARED_TABLES_REFUSED");
    expect(refusal.message).toBe("Line 2: It is wrong. (SQLSTATE 42601)");
    const unnamed = await refused("SharedTableService/ApplySharedTables", { ...ask, name: "a/b" });
    expectFault(unnamed, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  });
}

function describeRemoval({ served, door, call, refused }: FleetRpcs): void {
  test("a host is removed once its agent has stopped, and a repeat changes nothing", async () => {
    const name = `leaving-${door().name.toLowerCase()}`;
    const agent = await served().addAgent(name);
    const isConnected = async (): Promise<boolean> =>
      (await call("HostService/GetHost", { host: name })).host.connected === true;
    await expect.poll(isConnected, { timeout: 10_000 }).toBe(true);
    const early = await refused("HostService/DeleteHost", { host: name, lost: true });
    expect(["HOST_CONNECTED", undefined]).toContain(early.code);
    expect(early.message).toContain("stop its agent first");
    agent.close();
    await expect.poll(isConnected, { timeout: 10_000 }).toBe(false);
    const removed = await call("HostService/DeleteHost", { host: name });
    expect(removed).toMatchObject({ host_id: agent.identity.id, name });
    const again = await call("HostService/DeleteHost", { host: agent.identity.id });
    expect(again.removed_at).toEqual(removed.removed_at);
    const gone = await refused("HostService/GetHost", { host: name });
    expectFault(gone, "NOT_FOUND", "HOST_NOT_FOUND");
    const unknown = await refused("HostService/DeleteHost", { host: "host-9" });
    expectFault(unknown, "NOT_FOUND", "HOST_NOT_FOUND");
  });
}

function describeFleet({ served, call, refused, tenantName }: FleetRpcs): void {
  test("plans, regions and hosts are shown", async () => {
    const { plans } = await call("PlanService/ListPlans");
    expect(plans.map((plan: AnyBody) => plan.name)).toEqual(["free", "pro", "enterprise"]);
    const { regions } = await call("RegionService/ListRegions");
    expect(regions).toMatchObject([{ name: "us-east-1", hosts: 1, connected_hosts: 1 }]);
    const { hosts } = await call("HostService/ListHosts");
    expect(hosts).toMatchObject([{ name: "host-1", connected: true, engines: ["18.4"] }]);
    const { host } = await call("HostService/GetHost", { host: "host-1" });
    expect(host.host_id).toBe(served().agent.identity.id);
    expect(host).toMatchObject({
      capabilities: ["reflink"],
      fingerprint: {
        ...{ boot_id: "boot-of-a-fake", memory_mib: "8192", cores: 4, kernel: "Linux 6.1.0" },
        found_engines: [{ version: "18.4", origin: "embedded", floor: "18.4", meets_floor: true }],
        file_systems: [{ holds: ["instances"], type: "xfs", size_mib: "102400", reflink: true }],
      },
    });
    const unknown = await refused("HostService/GetHost", { host: "host-2" });
    expectFault(unknown, "NOT_FOUND", "HOST_NOT_FOUND");
  });

  test("what a plan requires of hosts is changed, and what no host can do is refused", async () => {
    const plan = "enterprise";
    const requirements = { capabilities: ["sandbox"] };
    const changed = await call("PlanService/UpdatePlan", { plan, requirements });
    expect(changed.plan).toMatchObject({ name: plan, requirements });
    const ask = { name: `${tenantName}-walled`, plan, isolation: "schema", region: "us-east-1" };
    const nowhere = await refused("TenantService/CreateTenant", ask);
    expectFault(nowhere, "UNAVAILABLE", "NO_FEASIBLE_HOST");
    expect(nowhere.message).toContain("1 host: 1 without sandbox");
    const unknown = { plan, requirements: { capabilities: ["teleport"] } };
    const never = await refused("PlanService/UpdatePlan", unknown);
    expectFault(never, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    const back = { plan, requirements: { capabilities: [] } };
    expect((await call("PlanService/UpdatePlan", back)).plan.resources).toMatchObject({
      ...{ memory_mib: 1_024, cpu_millis: 1_000, importance: 300 },
    });
  });

  test("what was measured is shown of tenants, hosts and instances", async () => {
    const metrics = await call("MetricService/GetTenantMetrics", { tenant: tenantName });
    expect(metrics.tenant_id).toMatch(/^ten_/);
    const ofHost = await call("MetricService/GetHostMetrics", { host: "host-1" });
    expect(ofHost.host_id).toBe(served().agent.identity.id);
    const elsewhere = { host: "host-1", instance_id: "ins_01jc7w4x9dep8t3w8rj0sxv5n2" };
    const unknown = await refused("MetricService/GetHostMetrics", elsewhere);
    expectFault(unknown, "NOT_FOUND", "INSTANCE_NOT_FOUND");
    const far = { tenant: tenantName, since_seconds: "999999" };
    const tooFar = await refused("MetricService/GetTenantMetrics", far);
    expectFault(tooFar, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  });
}

function describeDoctor({ served, call, refused }: FleetRpcs): void {
  test("a diagnosis asks the host", async () => {
    const diagnosis = await call("HostService/Diagnose");
    expect(diagnosis.hosts_checked).toBe(1);
    // The fake holds nothing, and says so.
    expect(diagnosis.findings.length).toBeGreaterThan(0);
  });

  test("a sweep says of each finding what became of it, and sweeps nothing else", async () => {
    const host_id = served().agent.identity.id;
    const orphan = "ins_01jc7w4x9dep8t3w8rj0sxv5n2";
    const findings = [
      { kind: "ORPHAN_DIRECTORY", host_id, subject: orphan },
      { kind: "ORPHAN_PATH", host_id, subject: "/x" },
    ];
    const { results } = await call("HostService/SweepOrphans", { findings });
    expect(results).toMatchObject([
      { subject: orphan, removed: true },
      { subject: "/x", reason: "It is in use." },
    ]);
    const wrong = { findings: [{ kind: "MISSING_ROLE", host_id, subject: "ten_1" }] };
    const refusal = await refused("HostService/SweepOrphans", wrong);
    expectFault(refusal, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  });
}

function describeJoining({ served, door, call, refused }: FleetRpcs): void {
  test("a join token is made, and refused when it is wrong", async () => {
    const ask = { kind: "host", region: "us-east-1", ttl_seconds: 60 };
    const { join_token } = await call("HostService/CreateJoinToken", ask);
    expect(join_token).toMatch(/^adb_join_/);
    const wrong = { ...ask, kind: "toaster" };
    expectFault(
      await refused("HostService/CreateJoinToken", wrong),
      "INVALID_ARGUMENT",
      "INVALID_ARGUMENT",
    );
    if (!door().serves("PlatformService/Join")) return;
    const request = { join_token, certificate_request: "no such thing", name: "host-2" };
    expectFault(
      await refused("PlatformService/Join", request, ""),
      "INVALID_ARGUMENT",
      "INVALID_ARGUMENT",
    );
  });

  test("a join token is listed until it is revoked, and only once", async () => {
    const labels = { rack: "a1" };
    const ask = { kind: "host", region: "us-east-1", labels };
    const { token_id, api_address } = await call("HostService/CreateJoinToken", ask);
    expect(api_address).toBe(`127.0.0.1:${served().apiPort}`);
    const { join_tokens } = await call("AdmissionService/ListJoinTokens");
    const listed = join_tokens.find((each: AnyBody) => each.token_id === token_id);
    expect(listed).toMatchObject({ kind: "host", region: "us-east-1", labels });
    await call("AdmissionService/RevokeJoinToken", { token_id });
    const again = await refused("AdmissionService/RevokeJoinToken", { token_id });
    expectFault(again, "NOT_FOUND", "JOIN_TOKEN_NOT_FOUND");
    const left = await call("AdmissionService/ListJoinTokens");
    expect(JSON.stringify(left)).not.toContain(token_id);
  });

  test("who is not known cannot be revoked, nor join again", async () => {
    expectFault(
      await refused("AdmissionService/RevokeHost", { host: "host-2", reason: "gone" }),
      "NOT_FOUND",
      "HOST_NOT_FOUND",
    );
    const { gateways } = await call("AdmissionService/ListGateways");
    expect(gateways).toMatchObject([{ connected: true }]);
    expectFault(
      await refused("AdmissionService/RevokeGateway", { gateway_id: "gtw_x" }),
      "NOT_FOUND",
      "GATEWAY_NOT_FOUND",
    );
    const ask = { kind: "host", rejoins: "host-2" };
    expectFault(await refused("HostService/CreateJoinToken", ask), "NOT_FOUND", "HOST_NOT_FOUND");
  });
}
