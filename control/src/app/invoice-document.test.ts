import type { InvoiceId } from "@aerodb/model";
import { parseMonth } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { invoiceOf } from "../metering/invoice.ts";
import { GIB, SAMPLE_PRICES } from "../metering/sample-prices.ts";
import { someTenants } from "./billing-fixture.ts";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { renderCsv, renderInvoice } from "./invoice-document.ts";
import { renderPdf } from "./invoice-pdf.ts";
import type { Invoice } from "./invoices.ts";

const AT = new Date("2026-05-04T00:05:00Z");

function invoice(over: Partial<Invoice> = {}): Invoice {
  const month = parseMonth("2026-04") ?? expect.fail();
  const content = invoiceOf({
    ...{ month, prices: SAMPLE_PRICES, creditMicroUsd: 2_500_000n },
    terms: [{ fromAt: new Date("2026-04-16T00:00:00Z"), plan: "pro" }],
    usage: { api_requests: 1_500_000n, egress_bytes: 100n * GIB },
  });
  return {
    ...{ ...content, month, forecast: undefined, inputsSha256: "ab".repeat(32) },
    ...{ tenantId: someTenants(1)[0] ?? expect.fail(), tenantName: "acme-corp" },
    closed: { id: "inv_01jc7w4x9dep8t3w8rj0sxv5n2" as InvoiceId, number: 42n, at: AT },
    ...over,
  };
}

test("the rows of a CSV add up to what is to be paid", () => {
  const [heading = "", ...rows] = renderCsv(invoice()).trimEnd().split("\r\n");
  expect(heading.split(",")).toHaveLength(13);
  expect(rows.map((row) => row.split(",").slice(5))).toEqual([
    ["plan", "pro", "15.000", "0.000", "15.000", "days", "$25.00 per month", "12.50"],
    [
      ...["usage", "api_requests", "1500000", "500000", "1000000", "requests"],
      ...["$2.50 per million requests", "2.50"],
    ],
    ["usage", "egress_bytes", "100.000", "0.000", "100.000", "GB", "$0.09 per GB", "9.00"],
    ["credit", "", "", "", "", "", "", "-2.50"],
  ]);
  const sum = rows.reduce((total, row) => total + Number(row.split(",").at(-1)), 0);
  expect(BigInt(Math.round(sum * 1_000_000))).toBe(invoice().totalMicroUsd);
});

test("a PDF is the same for the same invoice, however often it is made", async () => {
  const issuer = "Northwind Hosting Ltd\n12 Quay Street";
  const [first, second] = await Promise.all(
    [0, 1].map(() => renderPdf(invoice(), { issuer, at: new Date() })),
  );
  expect(
    Buffer.from(first ?? [])
      .subarray(0, 5)
      .toString(),
  ).toBe("%PDF-");
  expect(Buffer.from(first ?? []).equals(Buffer.from(second ?? []))).toBe(true);
});

test("a draft, one without lines and one with very many are pages too", async () => {
  const [line] = invoice().lines;
  const many = Array.from({ length: 90 }, () => line ?? expect.fail());
  const pages = async (over: Partial<Invoice>): Promise<number> => {
    const data = await renderPdf(invoice(over), { issuer: "x", at: AT });
    return (
      Buffer.from(data)
        .toString("latin1")
        .match(/\/Type \/Page\n/g)?.length ?? 0
    );
  };
  expect(await pages({ closed: undefined })).toBe(1);
  expect(await pages({ lines: [] })).toBe(1);
  expect(await pages({ lines: many })).toBe(5);
});

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

test("only what there is can be rendered", async () => {
  const ask = { tenant: "nobody", invoice: "current", format: "pdf" };
  expect((await faultOf(renderInvoice(platform.control, ask))).code).toBe("TENANT_NOT_FOUND");
  const format = renderInvoice(platform.control, { ...ask, format: "docx" });
  expect((await faultOf(format)).code).toBe("INVALID_ARGUMENT");
});
