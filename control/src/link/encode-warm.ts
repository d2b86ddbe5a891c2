import { isId } from "@aerodb/model";
import type {
  WarmOrderSchema,
  WarmReport,
  WarmShapeSchema,
  WarmShape as WireShape,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WarmInstance, WarmPolicy, WarmShape } from "../app/warm-instances.ts";

/** What a host is to keep ready. */
export function encodeWarm(
  policies: readonly WarmPolicy[],
): MessageInitShape<typeof WarmOrderSchema> {
  return {
    policies: policies.map(({ shape, count }) => ({ shape: encodeShape(shape), count })),
  };
}

/**
 * What a host keeps ready. What has no proper id or shape is dropped: it can be given to nobody.
 */
export function decodeWarm({ instances }: WarmReport): WarmInstance[] {
  return instances.flatMap(({ instanceId: id, shape }) =>
    isId("ins", id) && shape !== undefined ? [{ id, shape: decodeShape(shape) }] : [],
  );
}

function encodeShape(shape: WarmShape): MessageInitShape<typeof WarmShapeSchema> {
  const { memoryMiB: memoryMib, storageMiB: storageMib, ...same } = shape;
  return { ...same, memoryMib, storageMib };
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
