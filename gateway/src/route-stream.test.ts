import { rm } from "node:fs/promises";
import { join } from "node:path";
import { channelCredentials } from "@aerodb/identity";
import { type CertificateAuthority, openCertificateAuthority } from "@aerodb/identity/authority";
import { newId, silent } from "@aerodb/runtime";
import { GRPC_OPTIONS } from "@aerodb/wire";
import { Client } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RouteStream, watchRoutes } from "./route-stream.ts";
import { RouteTable } from "./routes.ts";
import { ThrowawayControl, throwawayDirectory } from "./throwaway-platform.ts";
import { Traffic } from "./traffic.ts";
import { WatchedSpans } from "./watch/watched-spans.ts";

let directory: string;
let authority: CertificateAuthority;
let control: ThrowawayControl;
let routes: RouteTable;
let traffic: Traffic;
let watched: WatchedSpans;
let stopping: AbortController;
let stream: RouteStream | undefined;
let client: Client | undefined;

beforeEach(async () => {
  directory = await throwawayDirectory();
  authority = await openCertificateAuthority(directory);
  control = new ThrowawayControl();
  await control.listen(authority);
  routes = new RouteTable(join(directory, "routes.db"));
  traffic = new Traffic(join(directory, "usage.db"));
  watched = new WatchedSpans(":memory:");
  stopping = new AbortController();
});

afterEach(async () => {
  stopping.abort();
  await stream?.ended;
  client?.close();
  control.stop();
  routes.close();
  traffic.close();
  await rm(directory, { recursive: true });
});

async function watch(options: { readonly usageEveryMs?: number } = {}) {
  const issued = await authority.issue({
    peer: { kind: "gateway", id: newId("gtw") },
    dnsNames: [],
    ipAddresses: [],
    validForDays: 1,
  });
  const own = { ...issued, caCertificate: authority.certificate };
  const credentials = channelCredentials(own, { kind: "control" });
  client = new Client(`127.0.0.1:${control.port}`, credentials, GRPC_OPTIONS);
  const { usageEveryMs = 60_000 } = options;
  const { signal } = stopping;
  const version = "1.2.3";
  stream = watchRoutes({
    client,
    routes,
    traffic,
    watched,
    version,
    logger: silent,
    signal,
    usageEveryMs,
  });
}

test("says who it is first, then acknowledges what new connections follow", async () => {
  control.whole = { generation: 3n, whole: true, routes: [{ tenantId: "ten_1", name: "acme" }] };
  await watch();
  await expect.poll(() => control.requests).toHaveLength(2);
  expect(control.requests[0]).toMatchObject({ generation: 0n, gatewayVersion: "1.2.3" });
  expect(control.requests[1]).toMatchObject({ generation: 3n });
  expect(stream?.connected).toBe(true);
  control.send({ generation: 4n, routes: [{ tenantId: "ten_2", name: "globex" }] });
  await expect.poll(() => control.requests.at(-1)?.generation).toBe(4n);
  expect(routes.byName("globex")).toBeDefined();
});

test("parts of a generation take effect together, with the last", async () => {
  control.whole = {
    generation: 3n,
    whole: true,
    more: true,
    routes: [{ tenantId: "ten_1", name: "acme" }],
  };
  await watch();
  await expect.poll(() => control.requests).toHaveLength(1);
  expect(stream?.connected).toBe(false);
  control.send({ generation: 3n, whole: true, routes: [{ tenantId: "ten_2", name: "globex" }] });
  await expect.poll(() => control.requests.at(-1)?.generation).toBe(3n);
  expect([routes.byName("acme"), routes.byName("globex")]).not.toContain(undefined);
});

test("after control is gone and back, the table is taken in whole again", async () => {
  control.whole = { generation: 3n, whole: true, routes: [{ tenantId: "ten_1", name: "acme" }] };
  await watch();
  await expect.poll(() => stream?.connected).toBe(true);
  control.whole = { generation: 9n, whole: true, routes: [{ tenantId: "ten_2", name: "acme" }] };
  control.dropCalls();
  await expect.poll(() => routes.byName("acme")?.tenantId).toBe("ten_2");
});

test("usage is sent, and kept until control has taken it in", async () => {
  const acme = traffic.of("ten_1");
  acme.connectionsOpened = 2;
  acme.egressBytes = 10;
  traffic.read();
  const [first, ...more] = traffic.eventsAfter(0n, 10);
  expect(more).toHaveLength(1);
  const sequence = first?.sequence ?? expect.fail("nothing was kept");
  control.whole = { generation: 1n, whole: true };
  await watch({ usageEveryMs: 20 });
  await expect.poll(() => traffic.eventsAfter(0n, 10)).toHaveLength(0);
  acme.ingressBytes = 5;
  const events = () => control.requests.flatMap(({ usage }) => usage?.events ?? []);
  await expect.poll(events).toHaveLength(3);
  expect(events()).toMatchObject([
    { sequence, meter: "connections_opened", tenantId: "ten_1", value: 2n },
    { sequence: sequence + 1n, meter: "egress_bytes", value: 10n },
    { sequence: sequence + 2n, meter: "ingress_bytes", value: 5n },
  ]);
});

test("says when control gives no table, and ends at once when asked to", async () => {
  control.stop();
  await watch();
  expect(stream?.refused).toBe(false);
  await expect.poll(() => stream?.refused).toBe(true);
  stopping.abort();
  await stream?.ended;
});

test("what was watched is sent, and kept until control has taken it in", async () => {
  control.whole = { generation: 3n, whole: true };
  await watch();
  await expect.poll(() => stream?.connected).toBe(true);
  const [startedAt, endedAt] = [new Date(0), new Date(60_000)];
  const unreached = new Map([["no_answer", ["ten_1"]]] as const);
  watched.add({ startedAt, endedAt, unreached, certificateEndsAt: endedAt });
  const [kept] = watched.after(0n, 10);
  stream?.sendWatched();
  const sent = () => control.requests.flatMap((request) => request.watched);
  await expect.poll(sent).toEqual([kept]);
  await expect.poll(() => watched.after(0n, 10)).toEqual([]);
});
