import type { HostId } from "@aerodb/model";
import { newId } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { findDisagreements } from "../store/consistency.ts";
import { sampleFacts, startFakeAgent } from "./fake-agent.ts";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { getHost, listHosts } from "./hosts.ts";
import { checkReadiness } from "./readiness.ts";
import { listRegions } from "./regions.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
});
afterEach(() => platform.close());

test("reports that come late, twice and out of order change nothing that is settled", async () => {
  const agent = await platform.addAgent("h1");
  const [host] = await listHosts(platform.control);
  const hostId = host?.id as HostId;
  for (let index = 0; index < 5; index += 1) {
    await platform.create(`schema-${index}`);
    await platform.create(`database-${index}`, { plan: "pro" });
  }
  for (let index = 0; index < 5; index += 2) {
    await platform.remove(`schema-${index}`);
    await platform.remove(`database-${index}`);
  }
  const settled = await platform.tenants.list({});
  const table = await platform.fleet.routesWhole();
  for (const report of [...agent.sent, ...agent.sent.toReversed()]) {
    await platform.fleet.takeObserved(hostId, report);
  }
  expect(await platform.tenants.list({})).toEqual(settled);
  expect(await platform.fleet.routesWhole()).toEqual(table);
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
});

test("a host speaks for what is placed on it and for nothing else", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const create = faultOf(platform.create("acme"));
  while ((await platform.count("tenants")) === 0) await agent.pull();
  const other = await platform.addHost("h2");
  const { instances, tenants } = await platform.fleet.desiredWhole(await hostIdOf("h1"));
  await platform.fleet.takeObserved(other, {
    instances: instances.map((each) => ({
      ...{ id: each.id, generation: each.generation, state: "running", reason: "" },
      ...{ socketDirectory: "/evil", database: "evil", engine: "", systemIdentifier: 1n },
      ...{ pendingRestart: [], walls: [], sharedTableChanges: 7 },
    })),
    tenants: tenants.map(({ id, generation }) => ({ id, generation, state: "ready", reason: "" })),
  });
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "creating" });
  expect((await platform.fleet.routesWhole()).endpoints).toEqual([]);
  const remove = platform.remove("acme");
  await create;
  await platform.fleet.takeObserved(await hostIdOf("h1"), await agent.pull());
  await remove;
});

async function hostIdOf(name: string): Promise<HostId> {
  return (await getHost(platform.control, name)).id;
}

test("a failure's reason shows while the host tries on, and goes when it succeeds", async () => {
  const agent = await platform.addAgent("h1", { reports: false });
  const create = platform.create("acme");
  while ((await platform.count("tenants")) === 0) await agent.pull();
  const hostId = await hostIdOf("h1");
  const { tenants } = await platform.fleet.desiredWhole(hostId);
  const failed = tenants.map(({ id, generation }) => ({
    ...{ id, generation, state: "failed" as const, reason: "disk\0full" },
  }));
  await platform.fleet.takeObserved(hostId, { instances: [], tenants: failed });
  expect(await platform.tenants.get("acme")).toMatchObject({ statusReason: "disk full" });
  const ready = failed.map((each) => ({ ...each, state: "ready" as const, reason: "" }));
  await platform.fleet.takeObserved(hostId, { instances: [], tenants: [...failed, ...ready] });
  expect(await create).toMatchObject({ status: "active", statusReason: "" });
});

test("a newer session of a host takes the place of the older", async () => {
  const agent = await platform.addAgent("h1");
  const hostId = await hostIdOf("h1");
  expect(await platform.fleet.hostHeard(hostId, agent.token)).toBe(true);
  const newer = await startFakeAgent(platform.fleet, { hostId, reports: false });
  expect(await platform.fleet.hostHeard(hostId, agent.token)).toBe(false);
  await platform.fleet.hostDisconnected(hostId, agent.token);
  expect(await getHost(platform.control, "h1")).toMatchObject({ connected: true });
  await newer.stop();
  expect(await getHost(platform.control, hostId)).toMatchObject({ connected: false });
  const unknown = startFakeAgent(platform.fleet, { hostId: newId("hst") });
  expect((await faultOf(unknown)).code).toBe("HOST_NOT_FOUND");
});

test("a catalogue restored from an older backup destroys nothing", async () => {
  const agent = await platform.addAgent("h1");
  await platform.create("acme");
  await platform.create("solo", { plan: "pro" });
  const hostId = await hostIdOf("h1");
  await agent.stop();
  const forgotten = agent.generation + 500n;
  const late = await startFakeAgent(platform.fleet, { hostId, generation: forgotten });
  const whole = await platform.fleet.desiredWhole(hostId);
  expect(whole.generation).toBeGreaterThan(forgotten);
  for (const each of [...whole.instances, ...whole.tenants]) {
    expect(each.presence).toBe("present");
    expect(each.generation).toBeGreaterThan(forgotten);
  }
  expect(await platform.create("new")).toMatchObject({ status: "active" });
  expect(late.tenants.size).toBe(3);
  await late.stop();
});

test("a host that moves to another address moves its endpoints with it", async () => {
  await platform.addAgent("h1");
  await platform.create("acme");
  const { generation } = await platform.fleet.routesWhole();
  const hello = {
    ...{ agentVersion: "1", edgeAddress: "elsewhere:2", generation: 0n },
    facts: sampleFacts({ fingerprint: { bootId: "boot-2" } }),
  };
  await platform.fleet.hostConnected(await hostIdOf("h1"), hello);
  const { endpoints } = await platform.fleet.routeChanges(generation);
  expect(endpoints).toMatchObject([{ edgeAddress: "elsewhere:2", bootId: "boot-2" }]);
});

test("a tenant can be created only once a connected host can take it", async () => {
  expect(await checkReadiness(platform.control)).toEqual({
    ready: false,
    reasons: ["No host has joined: there is no region yet."],
  });
  const hostId = await platform.addHost("h1");
  expect(await checkReadiness(platform.control)).toEqual({
    ready: false,
    reasons: ["No host of the region us-east-1 can take a tenant. 1 host: 1 not connected."],
  });
  await platform.addAgent("h1", { hostId });
  expect(await checkReadiness(platform.control)).toEqual({ ready: true, reasons: [] });
  expect(await listRegions(platform.control)).toEqual([
    { name: "us-east-1", hosts: 1, connectedHosts: 1 },
  ]);
});
