import { sql } from "@aerodb/db";
import type { GatewayId, TenantId } from "@aerodb/model";
import { monthOf } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { getTenantAvailability } from "./availability.ts";
import { listEvents } from "./events.ts";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import type { WatchedSpan } from "./watched.ts";
import { addOldGateway, addOldTenant, MINUTE_MS, minute, minutesAgo } from "./watched-fixture.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let first: GatewayId;
let second: GatewayId;
let acme: TenantId;
let globex: TenantId;
let fromMs: number;

beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  [first, second] = [await addOldGateway(platform, "g1"), await addOldGateway(platform, "g2")];
  acme = await addOldTenant(platform, "acme", "pro");
  globex = await addOldTenant(platform, "globex", "free");
  fromMs = minutesAgo(60);
});
afterEach(() => platform.close());

function available(tenant: string) {
  const month = monthOf(new Date(fromMs)).name;
  return getTenantAvailability(platform.control, tenant, month);
}

/** Twenty minutes: the server is away in four, and then restarted on purpose. */
function someMinutes(): WatchedSpan[] {
  return Array.from({ length: 20 }, (_, at) => {
    if (at >= 5 && at < 9) return minute(fromMs, at, { no_answer: [acme, globex] });
    return at === 12 ? minute(fromMs, at, { restart: [acme] }) : minute(fromMs, at);
  });
}

test("minutes count once, in whatever order, how often and by how many gateways they come", async () => {
  const spans = someMinutes();
  const backwards = spans.toReversed();
  await platform.fleet.takeWatched(first, spans);
  await platform.fleet.takeWatched(first, spans.slice(3, 8));
  await Promise.all([
    platform.fleet.takeWatched(first, backwards),
    platform.fleet.takeWatched(second, backwards),
    ...backwards.map((span) => platform.fleet.takeWatched(second, [span])),
  ]);
  expect(await available("acme")).toMatchObject({
    ...{ tenantId: acme, knownMinutes: 20, downMinutes: 4, plannedMinutes: 1 },
    ...{ availablePercent: 80, promise: { percent: 99.9 } },
    incidents: [
      { from: fromMs + 12 * MINUTE_MS, minutes: 1, planned: true, causes: ["restart"] },
      {
        ...{ from: fromMs + 5 * MINUTE_MS, to: fromMs + 9 * MINUTE_MS, minutes: 4 },
        ...{ planned: false, causes: ["no_answer"] },
      },
    ],
  });
  const free = await available("globex");
  expect(free).toMatchObject({ knownMinutes: 20, downMinutes: 4, plannedMinutes: 0 });
  expect(free.promise).toBeUndefined();
  // However many minutes there were: a row for a gateway, and one for a tenant and cause.
  const { database } = platform.catalogue;
  expect(await database.query(sql`select from watched_times`)).toHaveLength(2);
  expect(await database.query(sql`select from unreached_times`)).toHaveLength(3);
});

test("while no gateway watched, nothing is known; one that watched is enough", async () => {
  const spans = someMinutes();
  await platform.fleet.takeWatched(first, spans.slice(0, 6));
  await platform.fleet.takeWatched(second, spans.slice(15));
  const found = await available("acme");
  expect(found).toMatchObject({ knownMinutes: 11, downMinutes: 1 });
  expect(found.unknownMinutes).toBeGreaterThan(9);
  await platform.fleet.takeWatched(second, spans.slice(4, 15));
  expect(await available("acme")).toMatchObject({ knownMinutes: 20, downMinutes: 4 });
});

test("a server that does not answer on a host that is not heard is put down to the host", async () => {
  await platform.catalogue.database.query(sql`
    update hosts set last_seen_at = now() - interval '30 days'`);
  await platform.fleet.takeWatched(first, someMinutes());
  expect((await available("acme")).incidents).toMatchObject([{}, { causes: ["host_silent"] }]);
});

test("what cannot be true is refused and told once, and the rest is taken in", async () => {
  const young = await platform.addGateway("young");
  const early = new Date(now().getTime() + 10 * MINUTE_MS);
  const forged = [
    minute(fromMs, 1, { no_answer: ["ten_\0nobody" as TenantId, acme] }),
    minute(fromMs, 2, { boredom: [acme] }),
    { ...minute(fromMs, 3), startedAt: new Date(fromMs - 1) },
    { ...minute(fromMs, 4), startedAt: early, endedAt: new Date(early.getTime() + MINUTE_MS) },
  ];
  await platform.fleet.takeWatched(first, forged);
  await platform.fleet.takeWatched(first, forged);
  await platform.fleet.takeWatched(young, someMinutes());
  await platform.fleet.takeWatched("gtw_nobody" as GatewayId, someMinutes());
  expect(await available("acme")).toMatchObject({ knownMinutes: 2, downMinutes: 1 });
  const { events } = await listEvents(platform.control, { kind: "availability.refuse" });
  expect(events.map(({ subject, after }) => [subject, after?.["refused"]])).toEqual([
    ["gtw_nobody", { not_there: 20 }],
    [young, { not_there: 20 }],
    [first, { foreign_tenant: 1, unknown_cause: 1, too_long: 1, too_early: 1 }],
  ]);
});

test("a month that is none and a tenant that never was are refused; one that is gone is not", async () => {
  const ask = (tenant: string, month?: string) =>
    faultOf(getTenantAvailability(platform.control, tenant, month));
  expect((await ask("acme", "2026-13")).code).toBe("INVALID_ARGUMENT");
  expect((await ask("acme", "2999-01")).code).toBe("INVALID_ARGUMENT");
  expect((await ask("nobody")).code).toBe("TENANT_NOT_FOUND");
  await platform.fleet.takeWatched(first, someMinutes());
  await platform.remove("acme");
  expect(await available(acme)).toMatchObject({ downMinutes: 4 });
});
