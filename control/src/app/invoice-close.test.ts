import { sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";
import { armFailpoints } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { addTerms, addUsage, generateUsage, priceSince, someTenants } from "./billing-fixture.ts";
import { createCreditNote, listCreditNotes } from "./credit-notes.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { closeInvoices } from "./invoice-close.ts";
import { verifyInvoices } from "./invoice-verify.ts";
import { currentInvoice, getInvoice, listInvoices } from "./invoices.ts";

const GIB = 2n ** 30n;
const MARCH_DUE = new Date("2026-04-04T00:00:00Z");
const [ACME = "", OTHER = ""] = someTenants(2);

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server);
  await priceSince(database(), "2026-02-01T00:00:00Z");
});
afterEach(async () => {
  armFailpoints("");
  await platform.close();
});

function database() {
  return platform.catalogue.database;
}

function close(at: Date): Promise<number> {
  return closeInvoices(platform.control, at);
}

async function billed() {
  return database().query<{ month: string; tenant: string; number: bigint; total: bigint }>(sql`
    select to_char(month at time zone 'UTC', 'YYYY-MM') as month, tenant_id as tenant, number,
           total_micro_usd as total from invoices order by number`);
}

async function egress(tenantId: string, hour: string, gib: bigint): Promise<void> {
  await addUsage(database(), { tenantId, meter: "egress_bytes", hour, amount: gib * GIB });
}

test("every month since there are prices is closed once, some days after its end", async () => {
  await addTerms(database(), ACME, [["2025-11-05T00:00:00Z", "pro"]]);
  await addTerms(database(), OTHER, [
    ["2026-02-15T00:00:00Z", "pro"],
    ["2026-02-15T12:00:00Z", null],
  ]);
  await egress(ACME, "2026-03-31T23:00:00Z", 104n);
  // It ended before; there is nothing to ask it for.
  await egress(OTHER, "2026-03-01T00:00:00Z", 104n);
  expect(await close(new Date("2026-03-03T23:59:59Z"))).toBe(0);
  expect(await close(new Date("2026-03-04T00:00:00Z"))).toBe(2);
  expect(await close(MARCH_DUE)).toBe(1);
  expect(await close(MARCH_DUE)).toBe(0);
  expect(await billed()).toEqual([
    { month: "2026-02", tenant: ACME, number: 1n, total: 25_000_000n },
    { month: "2026-02", tenant: OTHER, number: 2n, total: 450_000n },
    { month: "2026-03", tenant: ACME, number: 3n, total: 25_360_000n },
  ]);
  const [newest] = (await listInvoices(platform.control, { tenant: ACME })).invoices;
  const invoice = await getInvoice(platform.control, ACME, newest?.closed?.id ?? "");
  expect(invoice.lines.map(({ subject }) => subject)).toEqual(["pro", "egress_bytes"]);
  expect(invoice.month.name).toBe("2026-03");
});

test("who may come to more than can be billed is shown what the month is so far", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "free"]]);
  const hour = "2026-03-01T00:00:00Z";
  await addUsage(database(), { tenantId: ACME, meter: "api_requests", hour, amount: 2n ** 61n });
  const tenant = { id: ACME as TenantId, name: "acme" };
  const at = new Date("2026-03-01T01:00:00Z");
  const { subtotalMicroUsd, forecast } = await currentInvoice(platform.control, tenant, at);
  expect({ much: subtotalMicroUsd > 5n * 10n ** 18n, forecast }).toEqual({ much: true });
});

test("what a session's time zone is changes nothing", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "pro"]]);
  await egress(ACME, "2026-03-31T23:00:00Z", 101n);
  await database().query(sql`
    do $$ begin
      execute format('alter database %I set timezone = %L', current_database(),
                     'Pacific/Kiritimati');
    end $$`);
  await renewSessions();
  expect(await close(MARCH_DUE)).toBe(1);
  expect((await billed()).map(({ month, total }) => [month, total])).toEqual([
    ["2026-03", 25_090_000n],
  ]);
});

/** What was set for the database holds for sessions that begin afterwards. */
async function renewSessions(): Promise<void> {
  const { pool } = database();
  const clients = await Promise.all(Array.from({ length: 10 }, () => pool.connect()));
  for (const client of clients) client.release(true);
}

test("two controls that close at once make one invoice each, and no number is left out", async () => {
  const tenants = someTenants(250);
  for (const tenant of tenants) {
    await addTerms(database(), tenant, [["2026-01-05T00:00:00Z", "pro"]]);
  }
  const made = await Promise.all([close(MARCH_DUE), close(MARCH_DUE), close(MARCH_DUE)]);
  expect(made.reduce((sum, each) => sum + each)).toBe(500);
  const numbers = (await billed()).map(({ number }) => number);
  expect(numbers).toEqual(Array.from({ length: 500 }, (_, at) => BigInt(at + 1)));
  const verified = await verifyInvoices(platform.control, { month: "2026-02", pageSize: 1_000 });
  expect(verified).toMatchObject({ checked: 250, inputsChanged: 0, differences: [] });
});

test.for(["before_insert", "before_commit", "after_commit", "before_month", "after_month"])(
  "cut off at %s and begun again, it closes the same",
  async (step) => {
    for (const tenant of someTenants(120)) {
      await addTerms(database(), tenant, [["2026-01-05T00:00:00Z", "pro"]]);
    }
    for (const nth of [1, 2, 3]) {
      armFailpoints(`control.invoices.${step}=throw@${nth}`);
      await close(MARCH_DUE).catch((error: Error) => expect(error.message).toContain("failpoint"));
    }
    armFailpoints("");
    await close(MARCH_DUE);
    const numbers = (await billed()).map(({ number }) => number);
    expect(numbers).toEqual(Array.from({ length: 240 }, (_, at) => BigInt(at + 1)));
    const months = await database().query<{ subject: string }>(sql`
    select subject from events where kind = 'month.close' order by id`);
    expect(months.map(({ subject }) => subject)).toEqual(["2026-02", "2026-03"]);
  },
);

test("a month is not closed before all of its usage is rolled up", async () => {
  await addTerms(database(), ACME, [["2026-02-01T00:00:00Z", "free"]]);
  await database().query(sql`
    insert into usage_batches (source, first_sequence, last_sequence, first_ended_at, last_ended_at)
    values ('hst_1', 1, 2, '2026-02-28T23:59:59Z', '2026-03-01T00:00:01Z')`);
  expect(await close(MARCH_DUE)).toBe(0);
  await database().query(sql`delete from usage_batches`);
  await database().query(sql`
    insert into usage_gauges (tenant_id, meter, value, read_at, rolled_up_to)
    values (${ACME}, 'storage_bytes', 1, '2026-03-05T00:10:00Z', '2026-03-05T00:00:00Z')`);
  expect(await close(MARCH_DUE)).toBe(1);
});

test("who cannot be billed keeps nobody else from it, and is billed once it can be", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "gold"]]);
  await addTerms(database(), OTHER, [["2026-03-01T00:00:00Z", "free"]]);
  expect(await close(MARCH_DUE)).toBe(1);
  expect(await close(MARCH_DUE)).toBe(0);
  await database().query(sql`
    insert into plans (name, sort_order, isolations, default_isolation, connection_limit,
                       memory_mib, cpu_millis, base_price_micro_usd)
    values ('gold', 9, '{schema}', 'schema', 1, 1, 1, 0)`);
  await database().query(sql`
    insert into plan_prices (plan, active_from, base_price_micro_usd)
    values ('gold', '2026-03-01T00:00:00Z', 70000000)`);
  expect(await close(MARCH_DUE)).toBe(1);
  expect((await billed()).map(({ tenant, total }) => [tenant, total])).toEqual([
    [OTHER, 0n],
    [ACME, 70_000_000n],
  ]);
});

test("what is closed cannot be changed, by no statement", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "pro"]]);
  await close(MARCH_DUE);
  for (const table of ["invoices", "invoice_lines", "credit_notes", "rates", "plan_prices"]) {
    for (const statement of [`delete from ${table}`, `truncate ${table} cascade`]) {
      await expect(database().pool.query(statement)).rejects.toThrow("append-only");
    }
  }
  const change = "update invoices set total_micro_usd = 0, subtotal_micro_usd = 0";
  await expect(database().pool.query(change)).rejects.toThrow("append-only");
});

test("late usage shows as a difference, and changes no invoice", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "pro"]]);
  await close(MARCH_DUE);
  await egress(ACME, "2026-03-05T00:00:00Z", 99n);
  const free = await verifyInvoices(platform.control, { month: "2026-03" });
  expect(free).toMatchObject({ checked: 1, inputsChanged: 1, differences: [] });
  await egress(ACME, "2026-03-05T00:00:00Z", 2n);
  const { differences } = await verifyInvoices(platform.control, { month: "2026-03" });
  expect(differences).toMatchObject([
    { tenantId: ACME, subject: "egress_bytes", billedMicroUsd: 0n, derivedMicroUsd: 90_000n },
  ]);
  expect((await billed()).map(({ total }) => total)).toEqual([25_000_000n]);
});

test("lines that differ show, although the sum is the same", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "pro"]]);
  await egress(ACME, "2026-03-05T00:00:00Z", 200n);
  await close(MARCH_DUE);
  await database().query(sql`update usage_records set amount = amount / 2`);
  const nineDollars = { meter: "api_requests", amount: 4_600_000n };
  await addUsage(database(), { tenantId: ACME, hour: "2026-03-05T00:00:00Z", ...nineDollars });
  const { differences } = await verifyInvoices(platform.control, { month: "2026-03" });
  expect(differences).toMatchObject([
    { subject: "egress_bytes", billedMicroUsd: 9_000_000n, derivedMicroUsd: 0n },
    { subject: "api_requests", billedMicroUsd: 0n, derivedMicroUsd: 9_000_000n },
  ]);
});

test("an invoice that asked too much is settled by a credit note, which pays the next", async () => {
  await addTerms(database(), ACME, [["2026-02-01T00:00:00Z", "pro"]]);
  await egress(ACME, "2026-02-05T00:00:00Z", 200n);
  await close(new Date("2026-03-20T00:00:00Z"));
  // Half of it never was.
  await database().query(sql`update usage_records set amount = amount / 2`);
  const [first] = (await verifyInvoices(platform.control, { month: "2026-02" })).differences;
  expect(first).toMatchObject({ billedMicroUsd: 9_000_000n, derivedMicroUsd: 0n });
  const ask = {
    ...{ tenant: ACME, amountMicroUsd: 9_000_000n, reason: "a meter counted twice" },
    ...{ invoice: first?.invoiceId ?? "", requestId: "one" },
  };
  const note = await createCreditNote(platform.control, tester, ask);
  expect(await createCreditNote(platform.control, tester, ask)).toEqual(note);
  const other = createCreditNote(platform.control, tester, { ...ask, reason: "another" });
  expect((await faultOf(other)).code).toBe("REQUEST_ID_REUSED");
  // It came to 34 dollars: the rest may be given back as well, and nothing beyond.
  const beyond = { ...ask, requestId: "two", amountMicroUsd: 26_000_000n };
  const tooMuch = await faultOf(createCreditNote(platform.control, tester, beyond));
  expect(tooMuch.code).toBe("INVALID_ARGUMENT");
  expect(tooMuch.message).toContain(
    "came to $34.00, $9.00 of it given back before: give back at most $25.00.",
  );
  const settled = await verifyInvoices(platform.control, { month: "2026-02" });
  expect(settled).toMatchObject({ inputsChanged: 1, differences: [] });

  const tenant = { id: someTenants(1)[0] ?? expect.fail(), name: "acme" };
  const draft = await currentInvoice(platform.control, tenant, new Date("2026-03-20T00:00:00Z"));
  expect(draft).toMatchObject({ subtotalMicroUsd: 25_000_000n, totalMicroUsd: 16_000_000n });
  await close(MARCH_DUE);
  expect((await billed()).map(({ number, total }) => [number, total])).toEqual([
    [1n, 34_000_000n],
    [3n, 16_000_000n],
  ]);
  const left = await listCreditNotes(platform.control, { tenant: ACME });
  expect(left).toMatchObject({ creditLeftMicroUsd: 0n, creditNotes: [{ number: 2n }] });
  const march = await verifyInvoices(platform.control, { month: "2026-03" });
  expect(march).toMatchObject({ inputsChanged: 0, differences: [] });
});

test("credit beyond a month's bill is carried on, and no bill is below nothing", async () => {
  await addTerms(database(), ACME, [["2026-02-01T00:00:00Z", "pro"]]);
  await createCreditNote(platform.control, tester, {
    ...{ tenant: ACME, amountMicroUsd: 40_000_000n, reason: "welcome" },
    ...{ invoice: "", requestId: "" },
  });
  await close(MARCH_DUE);
  expect((await billed()).map(({ total }) => total)).toEqual([0n, 10_000_000n]);
  for (const month of ["2026-02", "2026-03"]) {
    const verified = await verifyInvoices(platform.control, { month });
    expect(verified).toMatchObject({ checked: 1, inputsChanged: 0, differences: [] });
  }
});

test("of a month that is not closed there is nothing to derive, which is not that it is right", async () => {
  const running = await faultOf(verifyInvoices(platform.control, { month: "2026-03" }));
  expect([running.code, running.message]).toEqual([
    "INVALID_ARGUMENT",
    "2026-03 is not closed: there is no invoice of it to derive anew.",
  ]);
});

test("a tenant that a closed month forgot is missed", async () => {
  await addTerms(database(), ACME, [["2026-03-01T00:00:00Z", "pro"]]);
  await close(MARCH_DUE);
  await addTerms(database(), OTHER, [["2026-03-01T00:00:00Z", "pro"]]);
  const { differences } = await verifyInvoices(platform.control, { month: "2026-03" });
  expect(differences).toMatchObject([{ tenantId: OTHER, invoiceId: undefined }]);
});

test("a page of invoices at a time, and every one of a generated month derives again", async () => {
  const tenants = someTenants(23);
  for (const [at, tenant] of tenants.entries()) {
    const plan = ["free", "pro", "enterprise"][at % 3] ?? "free";
    await addTerms(database(), tenant, [[`2026-03-0${1 + (at % 9)}T03:04:05Z`, plan]]);
  }
  const span = { from: "2026-03-01T00:00:00Z", until: "2026-04-01T00:00:00Z" };
  await generateUsage(database(), span);
  await close(MARCH_DUE);
  let [checked, pageToken] = [0, ""];
  do {
    const ask = { month: "2026-03", pageSize: 10, pageToken };
    const page = await verifyInvoices(platform.control, ask);
    expect(page).toMatchObject({ inputsChanged: 0, differences: [] });
    checked += page.checked;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(checked).toBe(23);
  expect((await billed()).filter(({ total }) => total > 25_000_000n).length).toBeGreaterThan(5);
});
