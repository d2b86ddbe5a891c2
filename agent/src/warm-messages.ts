/** Warm instances as messages. */
import {
  type WarmOrder,
  type WarmReport,
  WarmReportSchema,
  type WarmShape as WireShape,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { create } from "@bufbuild/protobuf";
import type { WarmInstance, WarmPolicy, WarmShape } from "./warm-instances.ts";

export function decodeWarmOrder({ policies }: WarmOrder): WarmPolicy[] {
  return policies.flatMap(({ shape, count }) =>
    shape === undefined ? [] : [{ shape: decodeShape(shape), count }],
  );
}

export function encodeWarmReport(ready: readonly WarmInstance[]): WarmReport {
  return create(WarmReportSchema, {
    instances: ready.map(({ spec }) => {
      const { id, engineMajor, maxConnections, memoryMiB, cpuMillis, storageMiB, pidsLimit } = spec;
      const sizes = { memoryMib: memoryMiB, cpuMillis, storageMib: storageMiB, pidsLimit };
      return { instanceId: id, shape: { engineMajor, maxConnections, ...sizes } };
    }),
  });
}

function decodeShape(wire: WireShape): WarmShape {
  return {
    engineMajor: wire.engineMajor,
    maxConnections: wire.maxConnections,
    memoryMiB: wire.memoryMib,
    cpuMillis: wire.cpuMillis,
    storageMiB: wire.storageMib,
    pidsLimit: wire.pidsLimit,
  };
}
