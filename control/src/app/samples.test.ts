import { sql } from "@aerodb/db";
import type { HostId, InstanceId, TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { emptyTomorrowsSamples } from "../store/samples.ts";
import { evaluateAlerts } from "./alerts.ts";
import { calculateCost } from "./cost.ts";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import { getHostMetrics, getTenantMetrics } from "./metrics.ts";
import type { SentSample } from "./samples.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let hostId: HostId;
let sequence = 0n;

beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  hostId = (await getHost(platform.control, "h1")).id;
  sequence = 0n;
});
afterEach(() => platform.close());

const HOUR = { sinceSeconds: 3_600, stepSeconds: 3_600 };

function sample(over: Partial<SentSample> & { readonly agoSeconds?: number } = {}): SentSample {
  const { agoSeconds = 60, ...rest } = over;
  sequence += 1n;
  return {
    sequence,
    at: new Date(now().getTime() - agoSeconds * 1_000),
    seconds: 10,
    instanceId: "",
    tenantId: "",
    values: { cpu_seconds: 1 },
    statements: [],
    ...rest,
  };
}

function take(...samples: readonly SentSample[]): Promise<void> {
  return platform.fleet.takeSamples(hostId, samples);
}

async function count(): Promise<number> {
  const [row] = await platform.catalogue.database.query<{ readonly count: number }>(
    sql`select count(*)::integer as count from samples`,
  );
  return row?.count ?? 0;
}

async function instanceOf(tenant: string): Promise<{ id: TenantId; instanceId: InstanceId }> {
  const [row] = await platform.catalogue.database.query<{
    readonly id: TenantId;
    readonly instanceId: InstanceId;
  }>(sql`select id, instance_id as "instanceId" from tenants where name = ${tenant}`);
  return row ?? expect.fail(`there is no tenant ${tenant}`);
}

test("samples that come twice, late and out of order are kept once", async () => {
  const sent = [50, 40, 30, 20].map((agoSeconds) => sample({ agoSeconds }));
  await take(...sent.slice(2));
  await take(...sent);
  await take(...sent.toReversed(), ...sent);
  expect(await count()).toBe(4);
  const { points } = await getHostMetrics(platform.control, "h1", { ...HOUR, instanceId: "" });
  const total = points.reduce((sum, { readings }) => sum + (readings.cpu_seconds ?? 0), 0);
  expect(total).toBe(4);
});

test("counters add up in a step, and of gauges the newest counts", async () => {
  const values = [
    { cpu_seconds: 1, connections: 9 },
    { cpu_seconds: 2.5, connections: 4 },
  ];
  await take(...values.map((each, index) => sample({ values: each, agoSeconds: 20 - index })));
  const span = { sinceSeconds: 172_800, stepSeconds: 172_800, instanceId: "" };
  const { points } = await getHostMetrics(platform.control, hostId, span);
  expect(points).toMatchObject([{ seconds: 20, readings: { cpu_seconds: 3.5, connections: 4 } }]);
});

test("a host speaks for itself and what is placed on it, and for nothing else", async () => {
  await platform.create("acme");
  await platform.create("solo", { plan: "pro" });
  const [acme, solo] = [await instanceOf("acme"), await instanceOf("solo")];
  const other = await platform.addHost("h2");
  const foreign = [
    sample({ instanceId: acme.instanceId }),
    sample({ instanceId: acme.instanceId, tenantId: acme.id }),
    sample({ instanceId: "ins_of_nobody" }),
  ];
  await platform.fleet.takeSamples(other, foreign);
  expect(await count()).toBe(0);
  await take(
    sample({ instanceId: solo.instanceId, tenantId: acme.id }),
    sample({ instanceId: "", tenantId: acme.id }),
    sample({ instanceId: solo.instanceId, tenantId: solo.id }),
  );
  expect(await count()).toBe(0);
  await take(
    sample({ instanceId: acme.instanceId, values: { connections: 7 } }),
    sample({ instanceId: acme.instanceId, tenantId: acme.id, values: { connections: 3 } }),
    sample({ instanceId: solo.instanceId, values: { connections: 2 } }),
  );
  expect(await count()).toBe(3);
});

test("processes that were ended for want of memory are an event, each look once", async () => {
  await platform.create("solo", { plan: "pro" });
  const { instanceId } = await instanceOf("solo");
  const looks = [0, 2, 1].map((oom_kills) => sample({ instanceId, values: { oom_kills } }));
  await take(...looks);
  await take(...looks, sample({ instanceId, values: { oom_kills: 4 } }));
  const events = await platform.catalogue.database.query(sql`
    select actor, subject, after from events where kind = 'instance.out_of_memory'`);
  expect(events).toEqual([{ actor: hostId, subject: instanceId, after: { processes: 3 } }]);
});

test("a tenant in a shared instance sees its own, one with an instance sees all of it", async () => {
  for (const name of ["acme", "other"]) await platform.create(name);
  await platform.create("solo", { plan: "pro" });
  const [acme, other, solo] = await Promise.all(["acme", "other", "solo"].map(instanceOf));
  const statements = [{ queryId: "7", query: "select $1", calls: 2, totalSeconds: 1, rows: 2 }];
  await take(
    sample({ instanceId: acme?.instanceId ?? "", values: { connections: 10 } }),
    sample({ instanceId: acme?.instanceId ?? "", tenantId: acme?.id ?? "", statements }),
    sample({
      ...{ instanceId: other?.instanceId ?? "", tenantId: other?.id ?? "" },
      values: { connections: 6 },
    }),
    sample({ instanceId: solo?.instanceId ?? "", values: { connections: 2 } }),
  );
  const own = await getTenantMetrics(platform.control, "acme", HOUR);
  expect(own).toMatchObject({ instanceId: undefined, statements });
  expect(own.points.map(({ readings }) => readings)).toEqual([{ cpu_seconds: 1 }]);
  const neighbour = await getTenantMetrics(platform.control, "other", HOUR);
  expect(neighbour.points.map(({ readings }) => readings)).toEqual([{ connections: 6 }]);
  expect(neighbour.statements).toEqual([]);
  const whole = await getTenantMetrics(platform.control, "solo", HOUR);
  expect(whole).toMatchObject({ instanceId: solo?.instanceId });
  expect(whole.points.map(({ readings }) => readings)).toEqual([{ connections: 2 }]);
  const span = { ...HOUR, instanceId: acme?.instanceId ?? "" };
  const shared = await getHostMetrics(platform.control, "h1", span);
  expect(shared.points.map(({ readings }) => readings)).toEqual([{ connections: 10 }]);
});

test("what cannot be true is dropped, and the rest of the report kept", async () => {
  await take(
    sample({ values: { cpu_seconds: Number.NaN } }),
    sample({ values: { cpu_seconds: Number.POSITIVE_INFINITY } }),
    sample({ values: { cpu_seconds: -1 } }),
    sample({ values: { "'; drop table samples; --": 1 } }),
    sample({ values: {} }),
    sample({ seconds: 0 }),
    sample({ seconds: 4_000_000_000 }),
    sample({ sequence: 0n }),
    sample({ sequence: 2n ** 64n - 1n }),
    sample({ at: new Date(Number.NaN) }),
    sample({ at: new Date(8.64e15) }),
    sample({ agoSeconds: 49 * 3_600 }),
    sample({ agoSeconds: -3_600 }),
    sample({ instanceId: "a\0b" }),
    sample({ values: { cpu_seconds: 5, unheard_of: 1 } }),
  );
  const { points } = await getHostMetrics(platform.control, "h1", { ...HOUR, instanceId: "" });
  expect(points.map(({ readings }) => readings)).toEqual([{ cpu_seconds: 5 }]);
});

test("days take turns: tomorrow's table is emptied once what it holds is old", async () => {
  const { database } = platform.catalogue;
  const day = (hours: number) =>
    database.query(sql`
      insert into samples
      select ${hostId}, (100 + ${hours}), day_of_sample(at), 's', at, 1, '{}'
        from (select now() - make_interval(hours => ${hours}::integer)) s (at)`);
  for (const hours of [0, 24, 48, 72]) await day(hours);
  await emptyTomorrowsSamples(database);
  await emptyTomorrowsSamples(database);
  expect(await count()).toBe(3);
  // An agent whose clock is ahead, a little before midnight.
  await day(-24);
  await emptyTomorrowsSamples(database);
  expect(await count()).toBe(4);
});

test("an instance of another host, or of none, is not found", async () => {
  const other = await platform.addHost("h2");
  await platform.create("acme");
  const { instanceId } = await instanceOf("acme");
  for (const [host, named] of [
    [other, instanceId],
    [hostId, "ins_01jc7w4x9dep8t3w8rj0sxv5n2"],
    [hostId, "a\0b"],
  ] as const) {
    const asked = getHostMetrics(platform.control, host, { ...HOUR, instanceId: named });
    expect((await faultOf(asked)).code).toBe("INSTANCE_NOT_FOUND");
  }
});

test("readings that nothing can be divided by keep no alert and no cost from being told", async () => {
  await platform.create("acme");
  const { instanceId } = await instanceOf("acme");
  const disk = { disk_total_bytes: 1e-300, disk_free_bytes: 9e15 };
  await take(sample({ values: disk }), sample({ instanceId, values: { cpu_seconds: 5e-324 } }));
  await evaluateAlerts(platform.control);
  expect(await calculateCost(platform.control)).toMatchObject({ hosts: 1 });
});
