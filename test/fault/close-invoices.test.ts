/**
 * Kills control at each step of closing that its source names, in a catalogue of its own each time,
 * and expects that whoever comes after it closes the same.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, sql } from "@aerodb/db";
import type { Catalogue, CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  addTerms,
  generateUsage,
  priceSince,
  someTenants,
} from "../../control/src/app/billing-fixture.ts";
import { startCatalogue } from "../../control/src/app/fake-platform.ts";
import type { Piece } from "../piece-process.ts";
import type { AnyBody } from "../platform-client.ts";
import { until } from "../until.ts";
import { isDead, startControlAlone } from "./control-alone.ts";
import { failpointsOf } from "./failpoints.ts";

// A process starts and ends several times.
vi.setConfig({ testTimeout: 240_000 });

const STEPS = failpointsOf("control").filter((name) => name.startsWith("control.invoices."));
const KEY = "adb_key_of_the_closing_test_0123456789";
/** More than are closed in one transaction. */
const TENANTS = someTenants(150);
const PATIENCE_MS = 120_000;

let server: CatalogueServer;
let home: string;
beforeAll(async () => {
  server = await startCatalogue();
  home = mkdtempSync(join(tmpdir(), "aerodb-closing-"));
});
afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true, force: true });
});

/** The two newest months that are due, the earlier first. */
function dueMonths(): readonly string[] {
  const day = new Date(Date.now() - 4 * 86_400_000);
  return [2, 1].map((ago) => {
    return new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() - ago)).toISOString();
  });
}

async function fill(database: Database): Promise<void> {
  const [first = "", second = ""] = dueMonths();
  await priceSince(database, first);
  for (const [at, tenant] of TENANTS.entries()) {
    const plan = ["free", "pro", "enterprise"][at % 3] ?? "free";
    const change = new Date(Date.parse(second) + at * 1_234_567).toISOString();
    await addTerms(database, tenant, [
      [first, plan],
      [change, "pro"],
    ]);
  }
  for (const from of [first, second]) {
    const until = new Date(Date.parse(from) + 86_400_000).toISOString();
    await generateUsage(database, { from, until });
  }
}

function startControl(catalogue: Catalogue, failpoints: string): Piece {
  const catalogueUrl = catalogue.url;
  return startControlAlone({ catalogueUrl, home, platformKey: KEY, failpoints });
}

/** Asks for the job as the clock would, until something has come of it. */
async function closeUntil(database: Database, expecting: string, over: () => Promise<boolean>) {
  await until(
    expecting,
    async () => {
      if (await over()) return true;
      await database
        .query(sql`
          select graphile_worker.add_job('close_invoices', job_key => 'close_invoices')`)
        // Before the jobs have made their tables this fails.
        .catch(() => undefined);
      return false;
    },
    PATIENCE_MS,
  );
}

async function isClosed(database: Database): Promise<boolean> {
  const rows = await database.query(sql`select month from closed_months`);
  return rows.length === 2;
}

async function billed(database: Database) {
  return database.query<{ tenant: string; month: Date; number: bigint; total: bigint }>(sql`
    select tenant_id as tenant, month, number, total_micro_usd as total from invoices
     order by month, tenant_id`);
}

async function derive(apiPort: number, month: string): Promise<AnyBody> {
  const path = "aerodb.control.v1.BillingService/RecomputeInvoices";
  const response = await fetch(`http://127.0.0.1:${apiPort}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ month: month.slice(0, 7), pageSize: 1_000 }),
  });
  return response.json();
}

let undisturbed: readonly (readonly [string, bigint])[] = [];

test.for(["", ...STEPS])("killed at %j, it closes every month once", async (step) => {
  const catalogue = await server.fresh();
  const { database } = catalogue;
  await fill(database);
  if (step !== "") {
    const killed = startControl(catalogue, `${step}=kill@2`);
    await killed.ready;
    await closeUntil(database, `control to be killed at ${step}`, async () => isDead(killed));
  }
  const control = startControl(catalogue, "");
  const { apiPort = 0 } = await control.ready;
  await closeUntil(database, "both months to be closed", () => isClosed(database));

  const found = await billed(database);
  expect(found).toHaveLength(2 * TENANTS.length);
  const numbers = found.map(({ number }) => Number(number)).toSorted((a, b) => a - b);
  expect(numbers).toEqual(numbers.map((_, at) => at + 1));
  for (const month of dueMonths()) {
    const derived = await derive(apiPort, month);
    expect(derived).toMatchObject({ checked: TENANTS.length });
    expect(derived.differences ?? []).toEqual([]);
    expect(derived.inputsChanged ?? 0).toBe(0);
  }
  const totals = found.map(({ tenant, total }) => [tenant, total] as const);
  if (step === "") undisturbed = totals;
  expect(totals).toEqual(undisturbed);
  await control.stop();
  await catalogue.close();
});
