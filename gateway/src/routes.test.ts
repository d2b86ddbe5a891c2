import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  EndpointSchema,
  RouteSchema,
  RouteState,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RouteTable } from "./routes.ts";
import { throwawayDirectory } from "./throwaway-platform.ts";

let directory: string;
let table: RouteTable;

beforeEach(async () => {
  directory = await throwawayDirectory();
  table = new RouteTable(join(directory, "routes.db"));
});

afterEach(async () => {
  table.close();
  await rm(directory, { recursive: true });
});

function reopened(): RouteTable {
  table.close();
  table = new RouteTable(join(directory, "routes.db"));
  return table;
}

function route(tenantId: string, name: string, state = RouteState.ACTIVE) {
  return create(RouteSchema, { tenantId, name, state, instanceId: "ins_1", role: tenantId });
}

function endpoint(instanceId: string) {
  return create(EndpointSchema, { instanceId, socketDirectory: `/run/${instanceId}` });
}

function take(
  generation: bigint,
  routes: ReturnType<typeof route>[],
  options: { whole?: boolean; endpoints?: ReturnType<typeof endpoint>[] } = {},
): void {
  const { whole = false, endpoints = [] } = options;
  table.take({ generation, whole, routes, endpoints });
}

test("what was taken in is there after a restart, without control", async () => {
  take(3n, [route("ten_1", "acme")], { whole: true, endpoints: [endpoint("ins_1")] });
  take(4n, [route("ten_2", "globex")]);
  reopened();
  expect(table.generation).toBe(4n);
  expect(table.byName("acme")?.tenantId).toBe("ten_1");
  expect(table.byTenantId("ten_2")?.name).toBe("globex");
  const known = await table.endpoint("ins_1", AbortSignal.timeout(1_000));
  expect(known.socketDirectory).toBe("/run/ins_1");
});

test("what a whole table does not list is gone, on disk too", () => {
  take(1n, [route("ten_1", "acme"), route("ten_2", "globex")], { whole: true });
  take(2n, [route("ten_2", "globex")], { whole: true });
  expect(table.byName("acme")).toBeUndefined();
  expect(reopened().byName("acme")).toBeUndefined();
  expect(table.byName("globex")?.tenantId).toBe("ten_2");
});

test("a name that passes to another tenant follows it, in whatever order the news comes", () => {
  take(1n, [route("ten_1", "acme")]);
  take(2n, [route("ten_2", "acme", RouteState.CREATING)]);
  take(3n, [route("ten_1", "acme", RouteState.DELETING)]);
  expect(table.byName("acme")?.tenantId).toBe("ten_2");
  take(4n, [route("ten_2", "acme"), route("ten_1", "acme", RouteState.GONE)]);
  expect(table.byName("acme")).toMatchObject({ tenantId: "ten_2", state: RouteState.ACTIVE });
  expect(table.byTenantId("ten_1")).toBeUndefined();
  expect(reopened().byName("acme")?.tenantId).toBe("ten_2");
});

test("an older change is refused and changes nothing; a repeat is accepted", () => {
  take(5n, [route("ten_1", "acme")], { whole: true });
  expect(() => take(4n, [route("ten_1", "acme", RouteState.GONE)])).toThrow("older");
  expect(table.byName("acme")).toBeDefined();
  take(5n, [route("ten_1", "acme")], { whole: true });
});

test("an older or contradicting whole table takes the place of ours", () => {
  take(5n, [route("ten_1", "acme"), route("ten_2", "globex")], { whole: true });
  take(4n, [route("ten_1", "acme")], { whole: true });
  expect(table.byName("globex")).toBeUndefined();
  take(4n, [route("ten_1", "acme", RouteState.DELETING)], { whole: true });
  expect(reopened().generation).toBe(4n);
  expect(table.byName("acme")?.state).toBe(RouteState.DELETING);
});

test("who waits for an endpoint gets it when it comes, and not after the deadline", async () => {
  const waiting = table.endpoint("ins_2", AbortSignal.timeout(5_000));
  take(1n, [], { endpoints: [endpoint("ins_2")] });
  expect((await waiting).instanceId).toBe("ins_2");
  await expect(table.endpoint("ins_3", AbortSignal.timeout(10))).rejects.toThrow();
});
