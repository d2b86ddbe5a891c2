import type { InstanceId, TenantId } from "@aerodb/model";
import { RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { newId, sleep } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Route } from "../app/fleet.ts";
import { GATEWAY, HOST, type LinkBench, openLinkBench } from "./link-bench.ts";

let bench: LinkBench;
beforeEach(async () => {
  bench = await openLinkBench();
});
afterEach(() => bench.close());

function route(name: string): Route {
  const instanceId = "ins_1" as InstanceId;
  const told = { verifiers: [], connectionLimit: 1, brokenRules: [] };
  return { tenantId: newId("ten") as TenantId, name, state: "active", instanceId, ...told };
}

function change(generation: bigint, routes: readonly Route[]): void {
  bench.fleet.table = { generation, routes, endpoints: [] };
  bench.fleet.nudge();
}

/** Whether a promise has settled already. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), sleep(50).then(() => false)]);
}

async function connected() {
  const gateway = await bench.dialGateway();
  gateway.send({ gatewayVersion: "0.1.0" });
  const whole = await gateway.next();
  return { gateway, whole };
}

test("a gateway gets the whole table in parts, then what changes", async () => {
  const routes = Array.from({ length: 1_500 }, (_, number) => route(`tenant-${number}`));
  bench.fleet.table = { generation: 5n, routes, endpoints: [] };
  const { gateway, whole } = await connected();
  expect(whole).toMatchObject({ whole: true, more: true, generation: 5n });
  const rest = await gateway.next();
  expect(rest).toMatchObject({ whole: true, more: false, generation: 5n });
  expect(whole.routes.length + rest.routes.length).toBe(1_500);

  const added = route("acme-corp");
  change(6n, [added]);
  expect(await gateway.next()).toMatchObject({
    whole: false,
    generation: 6n,
    routes: [{ name: "acme-corp", role: added.tenantId, state: RouteState.ACTIVE }],
  });
});

test("one look serves every gateway", async () => {
  const { gateway: first } = await connected();
  const { gateway: second } = await connected();
  const before = bench.fleet.routeReads;
  change(6n, [route("acme-corp")]);
  expect((await first.next()).generation).toBe(6n);
  expect((await second.next()).generation).toBe(6n);
  expect(bench.fleet.routeReads - before).toBe(1);
});

test("a generation is covered once every connected gateway follows it", async () => {
  const signal = AbortSignal.timeout(5_000);
  await bench.routes.covers(99n, signal);
  const { gateway: first } = await connected();
  const { gateway: second } = await connected();
  change(6n, []);
  await first.next();
  await second.next();
  const covered = bench.routes.covers(6n, signal);
  expect(await isSettled(covered)).toBe(false);
  first.send({ generation: 6n });
  expect(await isSettled(covered)).toBe(false);
  second.send({ generation: 6n });
  await covered;
});

test("a gateway that goes away is waited for no longer", async () => {
  const { gateway } = await connected();
  const covered = bench.routes.covers(6n, AbortSignal.timeout(5_000));
  expect(await isSettled(covered)).toBe(false);
  gateway.close();
  await covered;
  expect(bench.fleet.disconnected).toEqual([GATEWAY.id]);
});

test("who waits too long gives up with the signal", async () => {
  await connected();
  await expect(bench.routes.covers(6n, AbortSignal.timeout(50))).rejects.toThrow("timeout");
});

test("what a gateway says to follow counts only if this stream sent it", async () => {
  const { gateway } = await connected();
  gateway.send({ generation: 1_000n });
  const covered = bench.routes.covers(6n, AbortSignal.timeout(5_000));
  expect(await isSettled(covered)).toBe(false);
  change(6n, []);
  await gateway.next();
  gateway.send({ generation: 6n });
  await covered;
});

test("a catalogue that went back in time sends the whole table again", async () => {
  bench.fleet.table = { generation: 50n, routes: [], endpoints: [] };
  const { gateway } = await connected();
  change(40n, [route("acme-corp")]);
  expect(await gateway.next()).toMatchObject({ whole: true, generation: 40n });
});

test("usage is stored before it is acknowledged", async () => {
  const { gateway } = await connected();
  const at = encodeTime(new Date());
  const event = { meter: "egress_bytes", tenantId: "ten_1", value: 5n, startedAt: at, endedAt: at };
  gateway.send({ usage: { events: [{ ...event, sequence: 3n }] } });
  expect(await gateway.next()).toMatchObject({ usageSequence: 3n, generation: 0n, whole: false });
  expect(bench.fleet.usage).toHaveLength(1);
});

test("a host's certificate is refused", async () => {
  const gateway = await bench.dialGateway(HOST);
  expect((await gateway.ended)?.code).toBe(status.PERMISSION_DENIED);
});

test("what a gateway watched is acknowledged once it is taken in, and kept in its order", async () => {
  const { gateway } = await connected();
  bench.fleet.refusals = 1;
  const [startedAt, endedAt] = [new Date(0), new Date(60_000)];
  const times = { startedAt: encodeTime(startedAt), endedAt: encodeTime(endedAt) };
  const unreached = [{ cause: "no_answer", tenantIds: ["ten_1"] }];
  gateway.send({ watched: [{ sequence: 7n, ...times, unreached }, { sequence: 8n }] });
  expect(await gateway.next()).toMatchObject({ generation: 0n, watchedSequence: 8n });
  expect(bench.fleet.watched).toMatchObject([
    { sequence: 7n, startedAt, endedAt, unreached, certificateEndsAt: undefined },
    { sequence: 8n, startedAt: new Date(Number.NaN), unreached: [] },
  ]);
});
