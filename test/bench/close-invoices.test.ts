/** How long a month takes to be closed, and to be derived again: a thousand tenants for a year. */
import { type Database, sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  addTerms,
  generateUsage,
  priceSince,
  someTenants,
} from "../../control/src/app/billing-fixture.ts";
import {
  openPlatform,
  type PlatformFixture,
  startCatalogue,
} from "../../control/src/app/fake-platform.ts";
import { closeInvoices } from "../../control/src/app/invoice-close.ts";
import { verifyInvoices } from "../../control/src/app/invoice-verify.ts";
import { distribution, ms, report, timed } from "./figures.ts";

const TENANTS = Number(process.env["BENCH_TENANTS"] ?? 1_000);
const MONTHS = Number(process.env["BENCH_MONTHS"] ?? 12);
const YEAR = 2025;

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue({ durable: true });
  platform = await openPlatform(server);
});
afterAll(async () => {
  await platform?.close();
  await server?.close();
});

/** What is read is not what was just written, and one month's room is enough. */
async function makeUsage(database: Database, index: number): Promise<void> {
  const [from, until] = [index, index + 1].map((at) => new Date(Date.UTC(YEAR, at)).toISOString());
  await database.pool.query("truncate usage_records");
  const client = await database.pool.connect();
  try {
    await client.query("set statement_timeout = 0");
    await generateUsage(
      {
        ...database,
        query: async ({ text, values }) => (await client.query(text, [...values])).rows,
      },
      { from: from ?? "", until: until ?? "" },
    );
    await client.query("vacuum analyze usage_records");
  } finally {
    client.release(true);
  }
}

async function verifyAll(month: string): Promise<number> {
  let [checked, pageToken] = [0, ""];
  do {
    const ask = { month, pageSize: 500, pageToken };
    const page = await verifyInvoices(platform.control, ask);
    expect(page.differences).toEqual([]);
    checked += page.checked;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return checked;
}

test("months of usage in every hour are closed", { timeout: 3_600_000 }, async () => {
  const { database } = platform.catalogue;
  await priceSince(database, `${YEAR}-01-01T00:00:00Z`);
  for (const [at, tenant] of someTenants(TENANTS).entries()) {
    const plan = ["free", "pro", "enterprise"][at % 3] ?? "free";
    await addTerms(database, tenant, [
      [`${YEAR - 1}-12-05T00:00:00Z`, plan],
      [new Date(Date.UTC(YEAR, at % 12, 3, 4, 5, at % 60)).toISOString(), "pro"],
    ]);
  }
  const [closing, deriving]: [number[], number[]] = [[], []];
  for (let index = 0; index < MONTHS; index += 1) {
    await makeUsage(database, index);
    const due = new Date(Date.UTC(YEAR, index + 1, 4));
    closing.push(
      await timed(async () => expect(await closeInvoices(platform.control, due)).toBe(TENANTS)),
    );
    const month = new Date(Date.UTC(YEAR, index)).toISOString().slice(0, 7);
    deriving.push(await timed(async () => expect(await verifyAll(month)).toBe(TENANTS)));
  }
  const [sums] = await database.query<{ invoices: number; lines: number }>(sql`
    select (select count(*)::integer from invoices) as invoices,
           (select count(*)::integer from invoice_lines) as lines`);
  const total = closing.reduce((sum, each) => sum + each, 0);
  report(`Closing ${TENANTS} tenants, ${MONTHS} months, four meters in every hour`, [
    { what: "a month closed", measured: distribution(closing), reach: "60 s" },
    { what: "a month derived again", measured: distribution(deriving), reach: "-" },
    { what: "all of it closed", measured: ms(total), reach: "-" },
    { what: "invoices, lines", measured: `${sums?.invoices}, ${sums?.lines}`, reach: "-" },
  ]);
  expect(Math.max(...closing)).toBeLessThan(60_000);
});
