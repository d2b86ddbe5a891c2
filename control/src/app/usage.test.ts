import { sql } from "@aerodb/db";
import type { GatewayId, HostId, TenantId } from "@aerodb/model";
import { newId, now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { listEvents } from "./events.ts";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import type { UsageEvent } from "./usage.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;

let server: CatalogueServer;
let platform: PlatformFixture;
let host: HostId;
let gateway: GatewayId;
let tenantId: TenantId;

beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  host = (await getHost(platform.control, "h1")).id;
  gateway = await platform.addGateway("g1");
  tenantId = (await platform.create("acme")).id;
});
afterEach(() => platform.close());

function reading(sequence: bigint, over: Partial<UsageEvent> = {}): UsageEvent {
  const endedAt = new Date(now().getTime() - MINUTE_MS);
  const rest = { meter: "storage_bytes", tenantId, value: 5n, startedAt: endedAt, endedAt };
  return { sequence, ...rest, ...over };
}

function kept(): Promise<{ source: string; sequence: bigint }[]> {
  return platform.catalogue.database.query(sql`
    select source, sequence from usage_events order by source desc, sequence`);
}

async function complaints() {
  const { events } = await listEvents(platform.control, { kind: "usage.refuse" });
  return events.map(({ subject, after }) => ({ subject, ...after }));
}

test("an event counts once, however often and late it comes", async () => {
  const events = [reading(7n), reading(8n), reading(9n)];
  await platform.fleet.takeUsage(host, events.slice(0, 2));
  await platform.fleet.takeUsage(host, events);
  await platform.fleet.takeUsage(host, events.slice(1, 2));
  await Promise.all([
    platform.fleet.takeUsage(host, events),
    platform.fleet.takeUsage(host, events),
  ]);
  expect(await kept()).toEqual([7n, 8n, 9n].map((sequence) => ({ source: host, sequence })));
  expect(await complaints()).toEqual([]);
});

test("a number that was used counts for nothing the second time, whatever it carries", async () => {
  await platform.fleet.takeUsage(host, [reading(1n)]);
  await platform.fleet.takeUsage(host, [reading(1n, { value: 1_000n, endedAt: now() })]);
  const rows = await platform.catalogue.database.query(sql`select value from usage_events`);
  expect(rows).toEqual([{ value: 5n }]);
});

test("a host speaks for its own tenants, and a gateway for all", async () => {
  const other = await platform.addHost("h2");
  await platform.fleet.takeUsage(other, [reading(1n)]);
  await platform.fleet.takeUsage(host, [reading(1n, { tenantId: newId("ten") })]);
  await platform.fleet.takeUsage(gateway, [reading(1n, { meter: "egress_bytes" })]);
  expect(await kept()).toEqual([{ source: gateway, sequence: 1n }]);
  expect(await complaints()).toMatchObject([
    { subject: host, refused: { foreign_tenant: 1 }, refused_so_far: 1 },
    { subject: other, refused: { foreign_tenant: 1 }, example: { tenant_id: tenantId } },
  ]);
});

test.for<[because: string, over: () => Partial<UsageEvent>]>([
  ["unknown_meter", () => ({ meter: "gold" })],
  ["foreign_meter", () => ({ meter: "egress_bytes" })],
  ["impossible_value", () => ({ value: -1n })],
  ["impossible_value", () => ({ value: 2n ** 62n })],
  ["impossible_time", () => ({ endedAt: new Date(Number.NaN) })],
  ["impossible_time", () => ({ startedAt: now() })],
  ["too_long", () => ({ startedAt: new Date(now().getTime() - 8 * DAY_MS) })],
  ["too_late", () => atDaysFromNow(-41)],
  ["too_early", () => atDaysFromNow(1)],
])("what cannot be true is refused, and the refusal is told: %s", async ([because, over]) => {
  await platform.fleet.takeUsage(host, [reading(1n, over()), reading(2n)]);
  expect(await kept()).toEqual([{ source: host, sequence: 2n }]);
  expect(await complaints()).toMatchObject([{ subject: host, refused: { [because]: 1 } }]);
});

test("a source that complains all the time fills no log", async () => {
  for (const sequence of [1n, 2n, 3n]) {
    await platform.fleet.takeUsage(host, [reading(sequence, { value: -1n })]);
  }
  expect(await complaints()).toMatchObject([{ refused_so_far: 1 }]);
  const [source] = await platform.catalogue.database.query(sql`
    select sequence, refused from usage_sources where source = ${host}`);
  expect(source).toEqual({ sequence: 3n, refused: 3n });
});

test("numbers that were skipped are told: what they counted is lost", async () => {
  await platform.fleet.takeUsage(host, [reading(1n), reading(2n)]);
  await platform.fleet.takeUsage(host, [reading(10n)]);
  expect(await complaints()).toMatchObject([{ subject: host, missing: [["3", "9"]] }]);
});

test("a source that an earlier version of control knew goes on where it was", async () => {
  await platform.catalogue.database.query(sql`
    insert into usage_events (source, sequence, meter, tenant_id, value, started_at, ended_at)
    values (${host}, 5, 'storage_bytes', ${tenantId}, 1, now(), now())`);
  await platform.fleet.takeUsage(host, [reading(5n), reading(6n)]);
  expect((await kept()).map(({ sequence }) => sequence)).toEqual([5n, 6n]);
});

function atDaysFromNow(days: number): Partial<UsageEvent> {
  const at = new Date(now().getTime() + days * DAY_MS);
  return { startedAt: at, endedAt: at };
}
