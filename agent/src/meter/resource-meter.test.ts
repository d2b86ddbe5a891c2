import type { InstanceId, TenantId } from "@aerodb/model";
import { UsageEventSchema } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { newId } from "@aerodb/runtime";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { HostState } from "../host-state.ts";
import { ResourceMeter } from "./resource-meter.ts";

const own = newId("ins") as InstanceId;
const shared = newId("ins") as InstanceId;
const tenant = newId("ten") as TenantId;

function open(tenants: readonly TenantId[] = [tenant]): ResourceMeter {
  return new ResourceMeter({
    instance: (id: InstanceId) => ({ spec: { id, shared: id === shared } }),
    tenantsOf: () => tenants,
  } as unknown as HostState);
}

function read(meter: ResourceMeter): (readonly [string, bigint])[] {
  return meter.read().map((body) => {
    const event = fromBinary(UsageEventSchema, body);
    expect(event.tenantId).toBe(tenant);
    return [event.meter, event.value] as const;
  });
}

test("parts of a unit are told once they have become one, and none is lost", () => {
  const meter = open();
  const told: bigint[] = [];
  for (let look = 0; look < 10; look += 1) {
    meter.take(own, 0.5, { cpu_seconds: 0.25, memory_bytes: 3 * 2 ** 20 });
    told.push(...read(meter).flatMap(([name, value]) => (name === "cpu_seconds" ? [value] : [])));
  }
  expect(told).toEqual([1n, 1n]);
});

test("memory is weighted by the time it was in use, and what ran counts as active", () => {
  const meter = open();
  meter.take(own, 10, { cpu_seconds: 1, memory_bytes: 2 ** 30, wal_bytes: 7 });
  meter.take(own, 5, { memory_bytes: 2 ** 20 });
  expect(read(meter)).toEqual([
    ["cpu_seconds", 1n],
    ["memory_mib_seconds", 10_245n],
    ["wal_bytes", 7n],
    ["active_seconds", 15n],
  ]);
  expect(read(meter)).toEqual([]);
});

test("what is shared, and what belongs to nobody, is on no bill", () => {
  const meter = open();
  meter.take(shared, 10, { cpu_seconds: 5 });
  expect(read(meter)).toEqual([]);
  const vacant = open([]);
  vacant.take(own, 10, { cpu_seconds: 5 });
  expect(read(vacant)).toEqual([]);
});
