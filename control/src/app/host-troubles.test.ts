/** What hosts find by themselves is in the log of events, once. */
import { sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { listEvents } from "./events.ts";
import { type FakeAgent, observeInstance } from "./fake-agent.ts";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import type { ServerEnd } from "./fleet.ts";
import { getHost } from "./hosts.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let agent: FakeAgent;
let hostId: HostId;
let instanceId: string;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  agent = await platform.addAgent("h1");
  hostId = (await getHost(platform.control, "h1")).id;
  await platform.create("acme", { plan: "pro" });
  instanceId = [...agent.instances.keys()][0] ?? expect.fail("there is no instance");
});
afterEach(() => platform.close());

async function report(lastEnd: Omit<ServerEnd, "reason">, from: HostId = hostId): Promise<void> {
  const desired = agent.instances.get(instanceId) ?? expect.fail("it is not desired");
  const end = { ...lastEnd, reason: "It was killed.\u0000" };
  const instances = [{ ...observeInstance(desired), lastEnd: end }];
  await platform.fleet.takeObserved(from, { instances, tenants: [] });
}

async function eventsOf(subject: string) {
  const { events } = await listEvents(platform.control, { subject });
  return events
    .filter(({ kind }) => /^(instance\.(crash|hang)|host\.disk_)/.test(kind))
    .map(({ kind, actor, after }) => ({ kind, actor, after }))
    .toReversed();
}

/** As if the last event of the instance were older. */
async function aMinuteLater(): Promise<void> {
  await platform.catalogue.database.query(sql`
    update instances set end_told_at = end_told_at - interval '1 minute'`);
}

test("a server that ended, or had to be, is an event once, however often it is reported", async () => {
  const crash = { number: 7n, hung: false };
  for (let times = 0; times < 3; times += 1) await report(crash);
  const told = { actor: hostId, after: { reason: expect.stringMatching(/^It was killed\./) } };
  expect(await eventsOf(instanceId)).toEqual([{ kind: "instance.crash", ...told }]);
  await aMinuteLater();
  await report({ number: 6n, hung: true });
  await report(crash);
  expect(await eventsOf(instanceId)).toHaveLength(1);
  await report({ number: 8n, hung: true });
  const kinds = (await eventsOf(instanceId)).map(({ kind }) => kind);
  expect(kinds).toEqual(["instance.crash", "instance.hang"]);
});

test("a server that crashes again and again is one event a minute", async () => {
  for (let number = 1n; number <= 20n; number += 1n) await report({ number, hung: false });
  expect(await eventsOf(instanceId)).toHaveLength(1);
  await aMinuteLater();
  // What was passed over is over: only what comes now is told.
  await report({ number: 20n, hung: false });
  expect(await eventsOf(instanceId)).toHaveLength(1);
  await report({ number: 21n, hung: false });
  expect(await eventsOf(instanceId)).toHaveLength(2);
});

test("no host tells of another's servers, nor has a number that the catalogue cannot hold", async () => {
  await report({ number: 1n, hung: false }, await platform.addHost("h2"));
  expect(await eventsOf(instanceId)).toEqual([]);
  await report({ number: 2n ** 64n - 1n, hung: false });
  expect(await eventsOf(instanceId)).toHaveLength(1);
});

test("a disk on which writes stopped is an event, and another when they began again", async () => {
  for (const diskFull of [false, true, true, undefined, false, false]) {
    await platform.fleet.takeObserved(hostId, { instances: [], tenants: [], diskFull });
  }
  expect(await eventsOf(hostId)).toEqual([
    { kind: "host.disk_full", actor: hostId, after: null },
    { kind: "host.disk_freed", actor: hostId, after: null },
  ]);
});
