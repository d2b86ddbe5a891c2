import { sql } from "@aerodb/db";
import { type GatewayId, type HostId, METERS, type Meter, type TenantId } from "@aerodb/model";
import { armFailpoints, now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import type { UsageEvent } from "./usage.ts";
import { rollUpUsage } from "./usage-records.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Hours before this one, of which records are compared. */
const HOURS = 6;

let server: CatalogueServer;
let platform: PlatformFixture;
let host: HostId;
let gateways: readonly GatewayId[];
let tenants = 0;
/** Each source numbers its events by itself. */
const sequences = new Map<string, bigint>();

beforeAll(async () => {
  server = await startCatalogue();
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  host = (await getHost(platform.control, "h1")).id;
  gateways = [await platform.addGateway("g1"), await platform.addGateway("g2")];
});
afterAll(async () => {
  await platform.close();
  await server.close();
});

/** A reading that is still to be told: minutes count from the start of the first hour. */
interface Reading {
  readonly meter: Meter;
  readonly minute: number;
  readonly value: number;
  /** Which of the gateways, for what they read. */
  readonly gateway: number;
}

const reading: fc.Arbitrary<Reading> = fc.record({
  meter: fc.constantFrom<Meter>("storage_bytes", "egress_bytes", "connections_peak"),
  minute: fc.integer({ min: 0, max: HOURS * 60 - 1 }),
  value: fc.nat(10),
  gateway: fc.nat(1),
});

function firstHour(): Date {
  return new Date(Math.floor(now().getTime() / HOUR_MS) * HOUR_MS - HOURS * HOUR_MS);
}

/** A tenant that was there before the first hour, and ended in the minute that is given. */
async function addTenant(endedMinute?: number): Promise<TenantId> {
  tenants += 1;
  const { id } = await platform.create(`t${tenants}x`);
  const started = new Date(firstHour().getTime() - HOUR_MS);
  const { database } = platform.catalogue;
  await database.query(sql`
    insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
    values (${id}, ${started}, 'free', ${id}, 'schema')`);
  if (endedMinute === undefined) return id;
  // Not even the end of a term is changed later: the catalogue is told so for this once.
  await database.query(sql`alter table tenant_terms disable trigger tenant_terms_append_only`);
  await database.query(sql`
    delete from tenant_terms where tenant_id = ${id} and from_at <> ${started}`);
  await database.query(sql`alter table tenant_terms enable trigger tenant_terms_append_only`);
  const ended = new Date(firstHour().getTime() + endedMinute * MINUTE_MS);
  await database.query(sql`
    insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
    values (${id}, ${ended}, null, ${id}, 'schema')`);
  return id;
}

function sourceOf({ meter, gateway }: Reading): HostId | GatewayId {
  return METERS[meter].source === "host" ? host : (gateways[gateway] as GatewayId);
}

function eventOf(tenantId: TenantId, told: Reading): UsageEvent {
  const source = sourceOf(told);
  const sequence = (sequences.get(source) ?? 0n) + 1n;
  sequences.set(source, sequence);
  const endedAt = new Date(firstHour().getTime() + told.minute * MINUTE_MS);
  return {
    sequence,
    meter: told.meter,
    tenantId,
    value: BigInt(told.value),
    startedAt: endedAt,
    endedAt,
  };
}

/** Amounts by meter and hour, in the order of both. */
type Amounts = readonly (readonly [meter: string, hour: number, amount: number])[];

async function recordsOf(tenantId: TenantId): Promise<Amounts> {
  const rows = await platform.catalogue.database.query<{
    meter: string;
    hour: number;
    amount: string;
  }>(sql`
    select meter, extract(epoch from hour - ${firstHour()}::timestamptz)::int / 3600 as hour, amount
      from usage_records
     where tenant_id = ${tenantId} and amount > 0
       and hour < ${firstHour()}::timestamptz + ${HOURS} * interval '1 hour'
     order by meter, hour`);
  return rows.map(({ meter, hour, amount }) => [meter, hour, Number(amount)]);
}

/** Slowly, minute by minute, and by another way than the catalogue goes. */
function recomputed(told: readonly Reading[], endedMinute = HOURS * 60): Amounts {
  const amounts = new Map<string, [string, number, number]>();
  function at(meter: string, hour: number): [string, number, number] {
    const amount = amounts.get(`${meter} ${hour}`) ?? [meter, hour, 0];
    amounts.set(`${meter} ${hour}`, amount);
    return amount;
  }
  let storage = 0;
  for (let minute = 0; minute < HOURS * 60; minute += 1) {
    const hour = Math.floor(minute / 60);
    const now = told.filter((each) => each.minute === minute);
    const peak = now.filter(({ meter }) => meter === "connections_peak");
    for (const { meter, value } of now) {
      if (meter === "storage_bytes") storage = value;
      if (meter === "egress_bytes") at(meter, hour)[2] += value;
    }
    const together = [0, 1].reduce((sum, gateway) => {
      const ofOne = peak.filter((each) => each.gateway === gateway);
      return sum + Math.max(0, ...ofOne.map(({ value }) => value));
    }, 0);
    const highest = at("connections_peak", hour);
    highest[2] = Math.max(highest[2], together);
    if (minute < endedMinute) at("storage_bytes", hour)[2] += storage * MINUTE_MS;
  }
  return [...amounts.values()]
    .filter(([, , amount]) => amount > 0)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x - y));
}

test("records follow from the ledger, in whatever order and however often events come", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(reading, { minLength: 1, maxLength: 6 }), { maxLength: 6 }),
      fc.option(fc.integer({ min: 1, max: HOURS * 60 - 1 }), { nil: undefined }),
      fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      async (batches, endedMinute, rollUps) => {
        const tenantId = await addTenant(endedMinute);
        const told: Reading[] = [];
        for (const [index, batch] of batches.entries()) {
          for (const each of batch) {
            told.push(each);
            const event = eventOf(tenantId, each);
            await platform.fleet.takeUsage(sourceOf(each), [event, event]);
            await platform.fleet.takeUsage(sourceOf(each), [event]);
          }
          if (rollUps[index]) await rollUpUsage(platform.control);
        }
        await rollUpUsage(platform.control);
        expect(await recordsOf(tenantId)).toEqual(recomputed(told, endedMinute));
      },
    ),
    { numRuns: 25 },
  );
});

/** What a tenant stores, from the first minute on. */
function reads(value: number): Reading {
  return { meter: "storage_bytes", minute: 0, value, gateway: 0 };
}

test("a gauge holds while nobody tells anything new, and across the turn of a month", async () => {
  const tenantId = await addTenant();
  const told = reads(3);
  await platform.fleet.takeUsage(host, [eventOf(tenantId, told)]);
  await rollUpUsage(platform.control);
  // As if it were last rolled up in its first hour, and the agent silent since.
  const { database } = platform.catalogue;
  await database.query(sql`delete from usage_records where tenant_id = ${tenantId}`);
  await database.query(sql`
    update usage_gauges set rolled_up_to = ${firstHour()} where tenant_id = ${tenantId}`);
  await rollUpUsage(platform.control);
  expect(await recordsOf(tenantId)).toEqual(recomputed([told]));
  expect(recomputed([told])).toHaveLength(HOURS);
});

test("readings as large as any are added up, and what others used is written all the same", async () => {
  const [tenantId, other] = [await addTenant(), await addTenant()];
  const most = reads(2 ** 60);
  await platform.fleet.takeUsage(host, [eventOf(tenantId, most), eventOf(other, reads(3))]);
  for (let times = 0; times < 9; times += 1) {
    await platform.fleet.takeUsage(host, [eventOf(tenantId, { ...most, meter: "wal_bytes" })]);
  }
  await rollUpUsage(platform.control);
  expect(await recordsOf(other)).toEqual(recomputed([reads(3)]));
  const sums = (await recordsOf(tenantId)).filter(([, hour]) => hour === 0);
  const [hourMs, total] = [2 ** 60 * HOUR_MS, 9 * 2 ** 60];
  expect(sums).toEqual([
    ["storage_bytes", 0, hourMs],
    ["wal_bytes", 0, total],
  ]);
});

test("a gauge read by a clock that is ahead counts for nothing yet, and others are written", async () => {
  const [tenantId, other] = [await addTenant(), await addTenant()];
  const early = new Date(now().getTime() + HOUR_MS - MINUTE_MS);
  const event = { ...eventOf(tenantId, reads(3)), startedAt: early, endedAt: early };
  await platform.fleet.takeUsage(host, [event, eventOf(other, reads(3))]);
  await rollUpUsage(platform.control);
  expect(await recordsOf(other)).toEqual(recomputed([reads(3)]));
  const [sum] = await platform.catalogue.database.query<{ amount: string }>(sql`
    select sum(amount)::text as amount from usage_records where tenant_id = ${tenantId}`);
  expect(sum).toEqual({ amount: "0" });
});

test("a gateway that read twice in a minute has one peak in it, and two gateways have two", async () => {
  const tenantId = await addTenant();
  for (const [value, gateway] of [
    [5, 0],
    [7, 0],
    [2, 1],
  ] as const) {
    const told: Reading = { meter: "connections_peak", minute: 0, value, gateway };
    await platform.fleet.takeUsage(sourceOf(told), [eventOf(tenantId, told)]);
  }
  await rollUpUsage(platform.control);
  expect(await recordsOf(tenantId)).toEqual([["connections_peak", 0, 9]]);
});

test("two controls that roll up at once derive what one does", async () => {
  const tenantId = await addTenant();
  const told = [1, 2, 3, 4].map(
    (value): Reading => ({ meter: "egress_bytes", minute: 70 * value, value, gateway: value % 2 }),
  );
  const rollingUp: Promise<void>[] = [];
  for (const each of told) {
    await platform.fleet.takeUsage(sourceOf(each), [eventOf(tenantId, each)]);
    rollingUp.push(rollUpUsage(platform.control), rollUpUsage(platform.control));
  }
  await Promise.all(rollingUp);
  await rollUpUsage(platform.control);
  expect(await recordsOf(tenantId)).toEqual(recomputed(told));
});

const STEPS = [
  "control.usage.before_add",
  "control.usage.before_commit",
  "control.usage.after_commit",
  "control.usage.before_records",
  "control.usage.before_records_commit",
];

test.for(STEPS)("broken off at %s and done again, everything counts once", async (step) => {
  const tenantId = await addTenant();
  const told = [1, 2, 3].flatMap((value): Reading[] => [
    { meter: "egress_bytes", minute: 50 * value, value, gateway: 0 },
    { meter: "storage_bytes", minute: 40 * value, value, gateway: 0 },
  ]);
  let broken = 0;
  async function insist(work: () => Promise<void>): Promise<void> {
    armFailpoints(`${step}=throw`);
    await work().catch((error: Error) => {
      expect(error.message).toContain(step);
      broken += 1;
      return work();
    });
    armFailpoints("");
  }
  for (const each of told) {
    const event = eventOf(tenantId, each);
    await insist(() => platform.fleet.takeUsage(sourceOf(each), [event]));
    await insist(() => rollUpUsage(platform.control));
  }
  expect(broken).toBe(told.length);
  expect(await recordsOf(tenantId)).toEqual(recomputed(told));
});
