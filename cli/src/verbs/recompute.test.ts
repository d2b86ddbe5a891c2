import {
  BillingService,
  type RecomputeInvoicesRequest,
} from "@aerodb/rpc/aerodb/control/v1/billing_service_pb.js";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { createOutput, type Format } from "../output.ts";
import type { Session } from "../session.ts";
import { recompute } from "./recompute.ts";

const DIFFERENCE = {
  ...{ tenantId: "ten_1", invoiceId: "inv_1", number: 7n, subject: "egress_bytes" },
  ...{ billedMicroUsd: 9_000_000n, derivedMicroUsd: 90_000n },
};

/** Answers with two pages for each month; `february` is on the second of that month. */
function sessionOf(format: Format, february: readonly (typeof DIFFERENCE)[]) {
  const asked: RecomputeInvoicesRequest[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(BillingService, {
      recomputeInvoices(request) {
        asked.push(request);
        const { month, pageToken } = request;
        const second = pageToken !== "";
        return {
          ...{ month, checked: 2, inputsChanged: 1, nextPageToken: second ? "" : "more" },
          differences: second && month === "2026-02" ? [...february] : [],
        };
      },
    });
  });
  const written: string[] = [];
  const stream = { write: (text: string) => written.push(text) > 0 };
  const api = { billing: createClient(BillingService, transport) } as unknown as Session["api"];
  return { api, output: createOutput(format, stream), asked, text: () => written.join("") };
}

test("every page of every month is derived, and what differs is shown", async () => {
  const session = sessionOf("table", [DIFFERENCE]);
  expect(await recompute(session, ["2026-01", "2026-02"])).toBe(false);
  expect(session.asked.map(({ month, pageToken }) => `${month} ${pageToken}`)).toEqual([
    ...["2026-01 ", "2026-01 more", "2026-02 ", "2026-02 more"],
  ]);
  expect(session.text()).toMatch(/inv_1 +ten_1 +egress_bytes +\$9\.00 +\$0\.09/);
  expect(session.text()).toContain(
    "Derived 8 invoices, 4 with other inputs than when they were closed. Differences: 1.",
  );
});

test("for programs it is JSON, and nothing differs where nothing was found", async () => {
  const session = sessionOf("json", []);
  expect(await recompute(session, ["2026-02"])).toBe(true);
  expect(JSON.parse(session.text())).toEqual({
    ...{ months: ["2026-02"], checked: 4, inputs_changed: 2, differences: [] },
  });
});
