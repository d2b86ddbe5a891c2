import { beforeEach, expect, test } from "vitest";
import { RequestMetrics, renderMetrics } from "./metrics.ts";
import { Traffic } from "./traffic.ts";
import type { ConnectionLine } from "./wire/connections.ts";

let traffic: Traffic;
beforeEach(() => {
  traffic = new Traffic(":memory:");
});

const line = { port: "session", state: "idle", tenantId: "ten_1" } as ConnectionLine;

function rendered(tenants: boolean, requests = new RequestMetrics()): Promise<string> {
  return renderMetrics({
    ...{ version: "1.2.3", traffic, requests, tenants, followsControl: () => true },
    limits: { strangersRefused: { half_open: 2, rate: 0, late: 1 } },
    connections: { list: () => [line, { ...line, tenantId: "ten_2" }] },
  });
}

test("what was counted stays counted when it was read for control", async () => {
  const [one, other] = [traffic.of("ten_1"), traffic.of("ten_2")];
  one.opened();
  one.transactions = 7;
  traffic.read();
  one.transactions += 3;
  other.transactions = 5;
  const text = await rendered(false);
  expect(text).toContain("aerodb_gateway_transactions_total 15\n");
  expect(text).toContain("aerodb_gateway_connections_opened_total 1\n");
  expect(text).toContain('aerodb_gateway_connections{port="session",state="idle"} 2\n');
  expect(text).toContain("aerodb_gateway_follows_control 1\n");
  expect(text).toContain('aerodb_gateway_strangers_refused_total{limit="half_open"} 2\n');
  expect(text).toContain('aerodb_gateway_strangers_refused_total{limit="rate"} 0\n');
  expect(text).not.toContain("ten_");
  expect(text.trimEnd().endsWith("# EOF")).toBe(true);
});

test("tenants are named only where that is wanted", async () => {
  const one = traffic.of("ten_1");
  one.parks = 2;
  one.opened();
  one.opened();
  one.closed();
  const text = await rendered(true);
  expect(text).toContain('aerodb_gateway_parks_total{tenant_id="ten_1"} 2\n');
  expect(text).toContain('aerodb_gateway_connections_peak{tenant_id="ten_1"} 2\n');
  expect(text).toContain(
    'aerodb_gateway_connections{port="session",state="idle",tenant_id="ten_2"} 1\n',
  );
});

test("requests are counted by class and status, in buckets of how long they took", async () => {
  const requests = new RequestMetrics();
  for (const seconds of [0.004, 0.2]) {
    requests.observe({ routeClass: "tenants", status: 201, seconds });
  }
  await rendered(false, requests);
  const text = await rendered(false, requests);
  const of = (bucket: string) =>
    `aerodb_gateway_http_request_seconds_bucket{le="${bucket}",route_class="tenants",status="201"}`;
  expect(text).toContain(`${of("0.005")} 1\n`);
  expect(text).toContain(`${of("0.25")} 2\n`);
  expect(text).toMatch(/http_request_seconds_count\{route_class="tenants",status="201"\} 2\n/);
});
