import type { InstanceId, TenantId } from "@aerodb/model";
import { UsageEventSchema } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { silent } from "@aerodb/runtime";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type MeterPorts, StorageMeter } from "./storage-meter.ts";

const [SHARED, ONE, TWO] = ["ins_s" as InstanceId, "ten_1" as TenantId, "ten_2" as TenantId];

/** Of one shared instance with two tenants. */
function meterOf(tenantBytes: MeterPorts["tenantBytes"]): () => Promise<unknown> {
  const state = {
    instances: () => [{ spec: { id: SHARED, shared: true }, present: true }],
    tenantsOf: () => [ONE, TWO],
  };
  const ports = { state, driver: {}, tenantBytes, logger: silent };
  const meter = new StorageMeter(ports as unknown as MeterPorts);
  return async () =>
    (await meter.read()).map((body) => {
      const { tenantId, value } = fromBinary(UsageEventSchema, body);
      return [tenantId, value];
    });
}

test("who drops all that it had in a shared instance is read as having nothing", async () => {
  let sizes: ReadonlyMap<TenantId, bigint> | undefined;
  const read = meterOf(() => sizes);
  expect(await read()).toEqual([]);
  sizes = new Map([
    [ONE, 5n],
    [TWO, 7n],
  ]);
  expect(await read()).toEqual([
    [ONE, 5n],
    [TWO, 7n],
  ]);
  sizes = new Map([[ONE, 5n]]);
  expect(await read()).toEqual([[TWO, 0n]]);
  expect(await read()).toEqual([]);
});
