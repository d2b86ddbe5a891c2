/**
 * A minute of usage of very many tenants: how fast the ledger takes it in beside other ways to
 * write the same rows, how long the roll-up takes, and whether control answers meanwhile.
 */
import { type CopyTarget, encodeCopy, sql } from "@aerodb/db";
import type { GatewayId, TenantId } from "@aerodb/model";
import { newId, now, sleep } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { afterAll, beforeAll, describe, test } from "vitest";
import {
  openPlatform,
  type PlatformFixture,
  startCatalogue,
} from "../../control/src/app/fake-platform.ts";
import { takeUsage, type UsageEvent } from "../../control/src/app/usage.ts";
import { rollUpUsage } from "../../control/src/app/usage-records.ts";
import { distribution, ms, p50, ratio, report, timed } from "./figures.ts";

const TENANTS = Number(process.env["BENCH_TENANTS"] ?? 100_000);
const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 7);
const METERS = ["egress_bytes", "connections_opened", "connections_peak"];
/** As many as wait at most while a batch before them is taken in. */
const BATCH = 20_000;
const ROWS = 5_000;
const SINGLE_ROWS = 500;
const COLUMNS: CopyTarget["columns"] = {
  ...({ source: "text", sequence: "bigint", meter: "text", tenant_id: "text" } as const),
  ...({ value: "bigint", started_at: "timestamptz", ended_at: "timestamptz" } as const),
};

let server: CatalogueServer;
let platform: PlatformFixture;

beforeAll(async () => {
  server = await startCatalogue();
  platform = await openPlatform(server);
});
afterAll(async () => {
  await platform.close();
  await server.close();
});

/** Tenants of which nothing is there but their rows. */
async function addTenants(): Promise<readonly TenantId[]> {
  await platform.addAgent("h1");
  await platform.create("model");
  const ids = Array.from({ length: TENANTS }, () => newId("ten") as TenantId);
  const { database } = platform.catalogue;
  await database.query(sql`
    update instances set max_tenants = ${TENANTS + 1}, tenant_count = ${TENANTS + 1}`);
  await database.query(sql`
    insert into tenants (id, name, plan, region, isolation, status, instance_id, verifier,
                         connection_limit, generation, route_generation)
    select a.id, 'tenant-' || a.number, plan, region, isolation, status, instance_id, verifier,
           connection_limit, generation, route_generation
      from tenants t, unnest(${ids}::text[]) with ordinality as a (id, number)
     where t.name = 'model'`);
  return ids;
}

function minuteOf(tenants: readonly TenantId[], minute: number): readonly UsageEvent[] {
  const endedAt = new Date(now().getTime() + minute * 1_000);
  const startedAt = new Date(endedAt.getTime() - 60_000);
  let sequence = BigInt(minute * TENANTS * METERS.length);
  return tenants.flatMap((tenantId) =>
    METERS.map((meter) => {
      sequence += 1n;
      return { sequence, meter, tenantId, value: sequence, startedAt, endedAt };
    }),
  );
}

describe("usage", () => {
  test("a minute of many tenants", { timeout: 1_800_000 }, async () => {
    const tenants = await addTenants();
    const gateway = await platform.addGateway("g1");
    const alone = await answersUntil(sleep(3_000));
    const events = minuteOf(tenants, 0);
    let tookMs = 0;
    const meanwhile = await answersUntil(
      (async () => {
        tookMs = await timed(() => takeAll(gateway, events));
      })(),
    );
    const rolledMs = await timed(() => rollUpUsage(platform.control));
    report(`Usage of ${TENANTS} tenants, ${events.length} events`, [
      { what: "taken in", measured: perSecond(events.length, tookMs), reach: "within a minute" },
      { what: "rolled up", measured: ms(rolledMs), reach: "within a minute" },
      { what: "a request to control alone", measured: distribution(alone), reach: "-" },
      {
        what: "the same while it takes usage in",
        measured: distribution(meanwhile),
        reach: "p95 < 100 ms",
      },
    ]);
  });

  test("by COPY and otherwise, by months and flat", { timeout: 600_000 }, async () => {
    const client = new pg.Client({ connectionString: platform.catalogue.url });
    await client.connect();
    await client.query("create table flat_usage (like usage_events including all)");
    // Indexes grow alike.
    await client.query("insert into flat_usage select * from usage_events");
    await client.query("create table bare_usage (like usage_events including defaults)");
    const names = ["binary", "text", "single", "flat", "bareBinary", "bareText"];
    const samples: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
    let round = 0;
    while (round < ROUNDS) {
      round += 1;
      for (const [name, write] of waysToWrite(client, round)) {
        const rows = name === "single" ? SINGLE_ROWS : ROWS;
        samples[name]?.push((rows * 1_000) / (await timed(write)));
      }
    }
    await client.end();
    const { binary = [], text = [], single = [], flat = [] } = samples;
    const { bareBinary = [], bareText = [] } = samples;
    report("Rows of usage in a second", [
      { what: "binary COPY by months", measured: p50(binary).toFixed(0), reach: "-" },
      { what: "/ single rows", measured: ratio(binary, single), reach: ">= 20" },
      { what: "/ text COPY", measured: ratio(binary, text), reach: ">= 1.3" },
      { what: "the same without an index", measured: ratio(bareBinary, bareText), reach: "-" },
      { what: "/ binary COPY into one table", measured: ratio(binary, flat), reach: ">= 0.9" },
    ]);
  });
});

async function takeAll(gateway: GatewayId, events: readonly UsageEvent[]): Promise<void> {
  for (let at = 0; at < events.length; at += BATCH) {
    await takeUsage(platform.control, gateway, events.slice(at, at + BATCH));
  }
}

/** How long requests take, one after the other, until the work is done. */
async function answersUntil(work: Promise<unknown>): Promise<number[]> {
  let working = true;
  const ended = work.finally(() => {
    working = false;
  });
  const answers: number[] = [];
  while (working) answers.push(await timed(() => platform.tenants.get("model")));
  await ended;
  return answers;
}

type Way = readonly [name: string, write: () => Promise<unknown>];
type Row = readonly [string, bigint, string, string, bigint, Date, Date];

function rowsOf(source: string, count: number): readonly Row[] {
  const at = now();
  return Array.from({ length: count }, (_, index) => {
    const sequence = BigInt(index + 1);
    return [source, sequence, "egress_bytes", newId("ten"), sequence * 1_000n, at, at] as const;
  });
}

/** Each with rows of its own: none meets another. */
function waysToWrite(client: pg.Client, round: number): readonly Way[] {
  const rows = (name: string, count = ROWS) => rowsOf(`${name}-${round}`, count);
  const single = rows("single", SINGLE_ROWS);
  const asBinary = (name: string, table: string): Way => {
    const made = rows(name);
    return [name, () => copy(client, table, encodeCopy({ table, columns: COLUMNS }, made), true)];
  };
  const asText = (name: string, table: string): Way => {
    const made = rows(name);
    return [name, () => copy(client, table, textOf(made), false)];
  };
  const ways: Way[] = [
    asBinary("binary", "usage_events"),
    asText("text", "usage_events"),
    asBinary("flat", "flat_usage"),
    asBinary("bareBinary", "bare_usage"),
    asText("bareText", "bare_usage"),
    ["single", () => insertEach(client, single)],
  ];
  return round % 2 === 0 ? ways.toReversed() : ways;
}

function textOf(rows: readonly Row[]): Buffer {
  const lines = rows.map((row) =>
    row.map((value) => (value instanceof Date ? value.toISOString() : String(value))).join("\t"),
  );
  return Buffer.from(`${lines.join("\n")}\n`);
}

function copy(client: pg.Client, table: string, body: Buffer, binary: boolean): Promise<void> {
  const names = Object.keys(COLUMNS).join(", ");
  const format = binary ? "binary" : "text";
  const stream = client.query(copyFrom(`copy ${table} (${names}) from stdin (format ${format})`));
  return new Promise((done, failed) => {
    stream.on("finish", done).on("error", failed);
    stream.end(body);
  });
}

async function insertEach(client: pg.Client, rows: readonly Row[]): Promise<void> {
  for (const row of rows) {
    await client.query({
      name: "single",
      text: `insert into usage_events (${Object.keys(COLUMNS).join(", ")})
             values ($1, $2, $3, $4, $5, $6, $7)`,
      values: row.map((value) => (typeof value === "bigint" ? String(value) : value)),
    });
  }
}

function perSecond(rows: number, tookMs: number): string {
  return `${ms(tookMs)}, ${((rows * 1_000) / tookMs).toFixed(0)} events a second`;
}
