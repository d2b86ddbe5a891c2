/** What every door says of usage, quotas, bills and prices: part of the suite over RPCs. */
import { expect, test } from "vitest";
import type { AnyBody } from "../platform-client.ts";
import { expectFault } from "./doors.ts";
import type { FleetRpcs } from "./fleet-rpcs.ts";

type BillingRpcs = Omit<FleetRpcs, "served">;

/** Each door adds prices of its own, far away, for none can be taken back. */
const YEARS: Readonly<Record<string, number>> = { Connect: 2097, gRPC: 2098, REST: 2099 };

export function describeBillingRpcs(rpcs: BillingRpcs): void {
  describeInvoices(rpcs);
  describePrices(rpcs);
  describeUsage(rpcs);
}

function describeUsage({ call, refused, tenantName }: BillingRpcs): void {
  test("a tenant has the quotas of its plan, or some of its own", async () => {
    const ask = { tenant: tenantName };
    const own = { resource: "storage_bytes", quota: "1000" };
    const set = await call("QuotaService/SetTenantQuotas", { ...ask, overrides: [own] });
    expect(set.quotas.quotas[0]).toMatchObject({ ...own, source: "override" });
    expect((await call("QuotaService/GetTenantQuotas", ask)).quotas).toEqual(set.quotas);
    const back = await call("QuotaService/SetTenantQuotas", { ...ask, overrides: [] });
    expect(back.quotas.quotas[0]).toMatchObject({ source: "plan" });
    const never = { ...ask, overrides: [{ resource: "gold", quota: "1" }] };
    const wrong = await refused("QuotaService/SetTenantQuotas", never);
    expectFault(wrong, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  });

  test("a tenant's host is asked what takes most room", async () => {
    const found = await call("QuotaService/ListLargestRelations", { tenant: tenantName });
    expect(found.relations).toMatchObject([
      { schema: found.tenant_id, name: "notes", kind: "table", bytes: "8192" },
    ]);
    const nobody = { tenant: "nobody-here" };
    const unknown = await refused("QuotaService/ListLargestRelations", nobody);
    expectFault(unknown, "NOT_FOUND", "TENANT_NOT_FOUND");
  });

  test("what was used is shown of this month and of others", async () => {
    const { usage } = await call("UsageService/GetTenantUsage", { tenant: tenantName });
    expect(usage).toMatchObject({ tenant_id: expect.stringMatching(/^ten_/) });
    const ask = { tenant: tenantName, month: usage.month };
    const same = await call("UsageService/GetTenantUsageOfMonth", ask);
    expect(same.usage).toMatchObject({ month: usage.month, from: usage.from });
    const never = { ...ask, month: "2026-13" };
    const wrong = await refused("UsageService/GetTenantUsageOfMonth", never);
    expectFault(wrong, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    const nobody = { tenant: "nobody-here" };
    const unknown = await refused("UsageService/GetTenantUsage", nobody);
    expectFault(unknown, "NOT_FOUND", "TENANT_NOT_FOUND");
  });
}

function describeInvoices({ door, call, refused, tenantName }: BillingRpcs): void {
  test("the bill of the running month is shown, and as a file", async () => {
    const tenant = tenantName;
    const { invoice } = await call("BillingService/GetInvoice", { tenant, invoice: "current" });
    expect(invoice).toMatchObject({
      ...{ invoice_id: "current", tenant_name: tenant, month: expect.stringMatching(/^\d{4}-/) },
      forecast: expect.anything(),
    });
    const { invoices = [] } = await call("BillingService/ListInvoices", { tenant });
    expect(invoices).toEqual([]);
    for (const [format, type, begins] of [
      ["pdf", "application/pdf", "%PDF-"],
      ["csv", "text/csv; charset=utf-8", "invoice_id,"],
    ] as const) {
      const ask = { tenant, invoice: "current", format };
      const { document } = await call("BillingService/RenderInvoice", ask);
      expect(document.content_type).toBe(type);
      const data = Buffer.from(document.data, "base64");
      expect(data.subarray(0, begins.length).toString()).toBe(begins);
    }
    const other = { tenant, invoice: "current", format: "docx" };
    const format = await refused("BillingService/RenderInvoice", other);
    expectFault(format, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    const unknown = await refused("BillingService/GetInvoice", { tenant, invoice: "inv_x" });
    expectFault(unknown, "NOT_FOUND", "INVOICE_NOT_FOUND");
    const nobody = await refused("BillingService/ListInvoices", { tenant: "nobody" });
    expectFault(nobody, "NOT_FOUND", "TENANT_NOT_FOUND");
  });

  test("a credit note is given once, and pays the running bill", async () => {
    const tenant = tenantName;
    const ask = { tenant, amount_micro_usd: "50000", reason: "sorry", request_id: door().name };
    const { credit_note } = await call("BillingService/CreateCreditNote", ask);
    expect(credit_note).toMatchObject({ amount_micro_usd: "50000", reason: "sorry" });
    const again = await call("BillingService/CreateCreditNote", ask);
    expect(again.credit_note.credit_note_id).toBe(credit_note.credit_note_id);
    const listed = await call("BillingService/ListCreditNotes", { tenant });
    expect(listed).toMatchObject({ credit_left_micro_usd: "50000" });
    expect(listed.credit_notes).toHaveLength(1);
    for (const [amount, reason] of [
      ["1", "less than a cent"],
      ["1000000010000", "more than a million dollars"],
    ] as const) {
      const wrong = { tenant, amount_micro_usd: amount, reason };
      const fault = await refused("BillingService/CreateCreditNote", wrong);
      expectFault(fault, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    }
    const unknown = await refused("BillingService/CreateCreditNote", {
      ...{ tenant, amount_micro_usd: "10000", reason: "of no invoice", invoice: "inv_x" },
    });
    expectFault(unknown, "NOT_FOUND", "INVOICE_NOT_FOUND");
  });

  test("all bills are summed up, and a month that is not closed cannot be derived again", async () => {
    const { plans } = await call("BillingService/GetBillingSummary");
    const named = plans.map(({ plan }: AnyBody) => plan);
    expect(named).toEqual(["free", "pro", "enterprise"]);
    for (const month of ["2026-01", "2999-01", "January"]) {
      const wrong = await refused("BillingService/RecomputeInvoices", { month });
      expectFault(wrong, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    }
  });
}

function describePrices({ door, call, refused }: BillingRpcs): void {
  const month = (): string => `${YEARS[door().name]}-01`;

  test("what a plan would cost is calculated", async () => {
    const usage = { api_requests: "3000000", storage_bytes: String(104n * 2n ** 30n) };
    const found = await call("PricingService/CalculatePrice", { plan: "pro", usage });
    expect(found.total_micro_usd).toBe("31000000");
    expect(found.lines[1]).toMatchObject({
      ...{ subject: "api_requests", quantity: "3000000", included: "1000000" },
      ...{ rate: "$2.50 per million requests", amount_micro_usd: "5000000" },
    });
    const unknown = { plan: "pro", usage: { wishes: "1" } };
    const wrong = await refused("PricingService/CalculatePrice", unknown);
    expectFault(wrong, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    const gold = await refused("PricingService/CalculatePrice", { plan: "gold" });
    expectFault(gold, "INVALID_ARGUMENT", "PLAN_NOT_FOUND");
  });

  test("a host has a price from now on, and what tenants cost follows from it", async () => {
    const price = { host: "any", micro_usd_per_month: "40000000" };
    const { host_price } = await call("PricingService/CreateHostPrice", price);
    expect(host_price).toMatchObject({ host_id: "any", micro_usd_per_month: "40000000" });
    const again = await call("PricingService/CreateHostPrice", price);
    expect(again.host_price).toEqual(host_price);
    const { host_prices } = await call("PricingService/ListHostPrices");
    expect(host_prices).toEqual([host_price]);
    const cost = await call("PricingService/CalculateCost");
    expect(Number(cost.hosts_micro_usd)).toBe(40_000_000 * cost.hosts);
    const nobody = await refused("PricingService/CreateHostPrice", { ...price, host: "nobody" });
    expectFault(nobody, "NOT_FOUND", "HOST_NOT_FOUND");
  });

  test("a rate is added for a month to come, and never edited", async () => {
    const ask = { meter: "wal_bytes", micro_usd: "10000", per_units: "1073741824" };
    const added = await call("PricingService/CreateRate", { ...ask, active_from: month() });
    expect(added.rate).toEqual({ ...ask, active_from: month() });
    const { rates } = await call("PricingService/ListRates");
    expect(rates).toContainEqual({ ...ask, active_from: month() });
    const again = await call("PricingService/CreateRate", { ...ask, active_from: month() });
    expect(again).toEqual(added);
    const edited = { ...ask, active_from: month(), micro_usd: "10001" };
    const other = await refused("PricingService/CreateRate", edited);
    expectFault(other, "ALREADY_EXISTS", "PRICE_EXISTS");
    const past = await refused("PricingService/CreateRate", { ...ask, active_from: "2026-01" });
    expectFault(past, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    expect(past.message).toContain("2026-01 has begun");
    const peak = { ...ask, meter: "connections_peak", active_from: month() };
    const unbilled = await refused("PricingService/CreateRate", peak);
    expectFault(unbilled, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  });

  test("a plan's price is added for a month to come, with what it includes", async () => {
    const allowances = { api_requests: "5", egress_bytes: "7" };
    const ask = { plan: "pro", active_from: month(), base_price_micro_usd: "30000000", allowances };
    const { plan_price } = await call("PricingService/CreatePlanPrice", ask);
    expect(plan_price).toEqual(ask);
    const { plan_prices } = await call("PricingService/ListPlanPrices");
    expect(plan_prices).toContainEqual(ask);
    expect((await call("PricingService/CreatePlanPrice", ask)).plan_price).toEqual(ask);
    const dearer = { ...ask, base_price_micro_usd: "30000001" };
    const other = await refused("PricingService/CreatePlanPrice", dearer);
    expectFault(other, "ALREADY_EXISTS", "PRICE_EXISTS");
    const gold = await refused("PricingService/CreatePlanPrice", { ...ask, plan: "gold" });
    expectFault(gold, "INVALID_ARGUMENT", "PLAN_NOT_FOUND");
  });
}
