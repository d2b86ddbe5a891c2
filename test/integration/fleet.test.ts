import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../until.ts";
import { ask, createTenant } from "./ask.ts";
import { type ControlProcess, FakeFleet, type FleetHost } from "./fake-fleet.ts";

async function diagnosis(control: ControlProcess): Promise<unknown[]> {
  const { body } = await ask(control, "HostService/Diagnose", {});
  return body.findings ?? [];
}

async function connectedHosts(control: ControlProcess): Promise<number> {
  const { body } = await ask(control, "HostService/ListHosts", {});
  const hosts: { readonly connected?: boolean }[] = body.hosts ?? [];
  return hosts.filter(({ connected }) => connected === true).length;
}

describe("one control and three hosts", () => {
  let fleet: FakeFleet;
  let control: ControlProcess;
  let hosts: readonly FleetHost[];

  beforeAll(async () => {
    fleet = await FakeFleet.start();
    control = await fleet.control();
    hosts = await Promise.all(
      ["one", "two", "three"].map((name) => fleet.host(control, name, 1_024)),
    );
    await until("three hosts to be connected", async () => (await connectedHosts(control)) === 3);
  });
  afterAll(() => fleet?.close());

  test("tenants fill the hosts, and the one too many is refused with each host's reason", async () => {
    const made: string[] = [];
    let refusal: { readonly code?: string; readonly hosts?: unknown[] } | undefined;
    while (refusal === undefined && made.length < 100) {
      const name = `filler-${made.length}`;
      const { ok, body } = await ask(control, "TenantService/CreateTenant", { name, plan: "pro" });
      if (ok) made.push(body.tenant.tenantId);
      else
        refusal = { code: body.details[0].debug.code, hosts: body.details[0].debug.details.hosts };
    }
    expect(refusal).toMatchObject({ code: "NO_FEASIBLE_HOST" });
    expect(refusal?.hosts).toHaveLength(3);
    expect(hosts.flatMap((host) => host.tenants()).toSorted()).toEqual(made.toSorted());
    for (const host of hosts) expect(host.tenants().length, host.name).toBeGreaterThan(0);
    expect(await diagnosis(control)).toEqual([]);

    await Promise.all(made.map((tenant) => ask(control, "TenantService/DeleteTenant", { tenant })));
    for (const host of hosts) expect(host.fake.contents, host.name).toEqual({});
    // Of those that had nothing to do nobody has waited until they were back.
    await until("every host to be connected", async () => {
      return (await connectedHosts(control)) === hosts.length;
    });
    expect(await diagnosis(control)).toEqual([]);
  });

  test("what was asked while an agent was away is done when it is back", async () => {
    const tenants = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((number) => createTenant(control, `away-${number}`)),
    );
    const [away] = hosts.filter((host) => host.tenants().length > 0);
    const id = away?.tenants()[0] ?? "";
    await away?.end();
    const deleted = ask(control, "TenantService/DeleteTenant", { tenant: id });
    await until("the tenant to be deleting", async () => {
      const { body } = await ask(control, "TenantService/GetTenant", { tenant: id });
      return body.tenant?.status === "deleting";
    });
    expect(away?.tenants()).toContain(id);
    await away?.start(control.apiAddress);
    expect((await deleted).ok).toBe(true);
    expect(away?.tenants()).not.toContain(id);
    await Promise.all(
      tenants.map(({ tenantId }) =>
        ask(control, "TenantService/DeleteTenant", { tenant: tenantId }),
      ),
    );
    expect(await diagnosis(control)).toEqual([]);
  });

  test("an agent that dies at any step of a creation or deletion finishes it the next time", async () => {
    for (let halfSteps = 0; halfSteps < 12; halfSteps += 1) {
      for (const host of hosts) host.fake.dieAfter(halfSteps);
      const name = `mortal-${halfSteps}`;
      const created = ask(control, "TenantService/CreateTenant", { name, plan: "pro" });
      await until("the tenant to be known", async () => {
        return (await ask(control, "TenantService/GetTenant", { tenant: name })).ok;
      });
      for (const host of hosts) {
        await host.end();
        host.fake.dieAfter(Number.POSITIVE_INFINITY);
        await host.start(control.apiAddress);
      }
      expect((await created).ok, `creation, killed after ${halfSteps} half steps`).toBe(true);
      expect((await ask(control, "TenantService/DeleteTenant", { tenant: name })).ok).toBe(true);
    }
    for (const host of hosts) expect(host.fake.contents, host.name).toEqual({});
    expect(await diagnosis(control)).toEqual([]);
  });
});

describe("two controls over one catalogue", () => {
  let fleet: FakeFleet;
  let near: ControlProcess;
  let far: ControlProcess;
  let host: FleetHost;

  beforeAll(async () => {
    fleet = await FakeFleet.start();
    near = await fleet.control();
    far = await fleet.control();
    host = await fleet.host(near, "one", 8_192);
    await until("the host to be connected", async () => (await connectedHosts(far)) === 1);
  });
  afterAll(() => fleet?.close());

  test("either serves a host that is connected to the other", async () => {
    const tenants = await Promise.all(
      [near, far, near, far].map((control, number) => createTenant(control, `both-${number}`)),
    );
    expect(host.tenants().toSorted()).toEqual(tenants.map(({ tenantId }) => tenantId).toSorted());
  });

  test("either asks an agent that is connected to the other", async () => {
    expect(await diagnosis(far)).toEqual([]);
    const logs = { instanceId: "both-0" };
    const { ok, body } = await ask(far, "HostService/GetInstanceLogs", logs);
    expect([ok, body]).toEqual([true, { text: "killed\n" }]);
  });

  test("of 50 creations of one name at both at once, one wins", async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, number) =>
        ask(number % 2 === 0 ? near : far, "TenantService/CreateTenant", {
          name: "wanted",
          plan: "free",
        }),
      ),
    );
    const refused = answers.filter(({ ok }) => !ok).map(({ body }) => body.details[0].debug.code);
    expect(refused).toEqual(Array.from({ length: 49 }, () => "TENANT_NAME_EXISTS"));
  });

  test("a control killed in the middle of creations loses none that it had begun", async () => {
    const names = Array.from({ length: 20 }, (_, number) => `orphan-${number}`);
    const asked = names.map((name) =>
      ask(near, "TenantService/CreateTenant", { name, plan: "free" }).catch(() => undefined),
    );
    await until("some to be known", async () => {
      const { body } = await ask(far, "TenantService/ListTenants", { namePrefix: "orphan-" });
      return (body.tenants ?? []).length > 0;
    });
    await near.kill();
    const answers = await Promise.all(asked);
    await host.end();
    await host.startAt(far);
    await until("all that were begun to be active", async () => {
      const { body } = await ask(far, "TenantService/ListTenants", { namePrefix: "orphan-" });
      const tenants: { readonly name: string; readonly status: string }[] = body.tenants ?? [];
      const acknowledged = answers.flatMap((answer) =>
        answer?.ok ? [answer.body.tenant.name] : [],
      );
      expect(tenants.map(({ name }) => name)).toEqual(expect.arrayContaining(acknowledged));
      return tenants.every(({ status }) => status === "active");
    });
    expect(await diagnosis(far)).toEqual([]);
  });
});
