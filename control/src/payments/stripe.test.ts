import { sql } from "@aerodb/db";
import { armFailpoints } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { addTerms, addUsage, priceSince, someTenants } from "../app/billing-fixture.ts";
import type { Control } from "../app/control.ts";
import { createCreditNote } from "../app/credit-notes.ts";
import {
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "../app/fake-platform.ts";
import { closeInvoices } from "../app/invoice-close.ts";
import { deliverInvoices } from "../app/invoice-delivery.ts";
import { type FakeStripe, startFakeStripe } from "./fake-stripe.ts";
import { stripeProvider } from "./stripe.ts";

const [ACME = "", FREE = ""] = someTenants(2);

let server: CatalogueServer;
let platform: PlatformFixture;
let stripe: FakeStripe;
let control: Control;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server);
  stripe = await startFakeStripe();
  const settings = { key: "sk_test_1234", url: stripe.url, timeoutMs: 500 };
  control = { ...platform.control, payments: stripeProvider(settings) };
  const { database } = platform.catalogue;
  await priceSince(database, "2026-03-01T00:00:00Z");
  await addTerms(database, ACME, [["2026-03-01T00:00:00Z", "pro"]]);
  await addTerms(database, FREE, [["2026-03-01T00:00:00Z", "free"]]);
  const egress = { tenantId: ACME, meter: "egress_bytes", hour: "2026-03-07T00:00:00Z" };
  await addUsage(database, { ...egress, amount: 200n * 2n ** 30n });
  await createCreditNote(control, tester, {
    ...{ tenant: ACME, amountMicroUsd: 4_000_000n, reason: "sorry", invoice: "", requestId: "" },
  });
  await closeInvoices(control, new Date("2026-04-10T00:00:00Z"));
});
afterEach(async () => {
  armFailpoints("");
  await stripe.close();
  await platform.close();
});

/** Until all is delivered, however often that fails. */
async function deliverAll(): Promise<void> {
  const { database } = platform.catalogue;
  for (let attempt = 0; attempt < 12; attempt += 1) {
    await deliverInvoices(control).catch(() => undefined);
    const due = await database.query(sql`
      update invoice_deliveries set due_at = now() where delivered_at is null returning 1`);
    if (due.length === 0) return;
  }
  expect.fail("it was not delivered");
}

function expectOneOfEach(): void {
  expect(stripe.payers).toHaveLength(1);
  expect(stripe.invoices).toMatchObject([
    {
      status: "open",
      currency: "usd",
      metadata: { aerodb_invoice: expect.stringMatching(/^inv_/) },
    },
  ]);
  const amounts = stripe.items.map(({ amount }) => Number(amount));
  expect(amounts).toEqual([2_500, 900, -400]);
}

test("an invoice is delivered once, with what it consists of; one of nothing is not", async () => {
  expect(await deliverInvoices(control)).toBe(1);
  expect(await deliverInvoices(control)).toBe(0);
  expectOneOfEach();
  const events = await platform.catalogue.database.query(sql`
    select after from events where kind = 'invoice.deliver'`);
  expect(events).toEqual([{ after: { provider: "stripe", reference: "in_1" } }]);
});

test.for([/^\/v1\/customers$/, /^\/v1\/invoices$/, /^\/v1\/invoiceitems$/, /\/finalize$/])(
  "what was done at %s and not answered is done once",
  async (path) => {
    stripe.loseAnswers(path, 2);
    await deliverAll();
    expectOneOfEach();
  },
);

test.for([/^\/v1\/invoiceitems$/, /\/finalize$/])(
  "not answered at %s, and tried again after a day, it is one invoice too",
  async (path) => {
    stripe.loseAnswers(path, 1);
    expect(await deliverInvoices(control)).toBe(0);
    stripe.forgetKeys();
    await platform.catalogue.database.query(sql`update invoice_deliveries set due_at = now()`);
    await deliverAll();
    expectOneOfEach();
  },
);

test.for(["payer_made", "payer_kept", "before_noted"])(
  "cut off at %s, it is delivered once by whoever comes next",
  async (step) => {
    armFailpoints(`control.deliveries.${step}=throw`);
    await deliverAll();
    expectOneOfEach();
  },
);

test("a failure is kept, and what failed waits longer each time", async () => {
  await stripe.close();
  const { database } = platform.catalogue;
  const waits: number[] = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    expect(await deliverInvoices(control)).toBe(0);
    const [row] = await database.query<{ wait: number; error: string }>(sql`
      select extract(epoch from due_at - now())::float8 as wait, last_error as error
        from invoice_deliveries`);
    waits.push(Math.round((row?.wait ?? 0) / 60));
    expect(row?.error).not.toBe("");
    await database.query(sql`update invoice_deliveries set due_at = now()`);
  }
  expect(waits).toEqual([1, 2, 4]);
  stripe = await startFakeStripe();
});
