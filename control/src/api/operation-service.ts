import type {
  OperationSchema,
  OperationService,
} from "@aerodb/rpc/aerodb/control/v1/operation_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Operation, OperationFilter, OperationPage } from "../app/operations.ts";

export interface Operations {
  get(operationId: string): Promise<Operation>;
  list(filter: OperationFilter): Promise<OperationPage>;
}

export function operationService(operations: Operations): ServiceImpl<typeof OperationService> {
  return {
    async getOperation(request) {
      return { operation: encodeOperation(await operations.get(request.operationId)) };
    },

    async listOperations(request) {
      const { pageSize, pageToken, tenantId } = request;
      const page = await operations.list({ pageSize, pageToken, tenantId });
      const { nextPageToken } = page;
      return { operations: page.operations.map(encodeOperation), nextPageToken };
    },
  };
}

function encodeOperation(operation: Operation): MessageInitShape<typeof OperationSchema> {
  return {
    operationId: operation.id,
    kind: operation.kind,
    tenantId: operation.tenantId,
    done: operation.done,
    error: operation.error,
    createdAt: encodeTime(operation.createdAt),
    ...(operation.doneAt === undefined ? {} : { doneAt: encodeTime(operation.doneAt) }),
    deadlineAt: encodeTime(operation.deadlineAt),
    steps: operation.steps.map(({ name, at }) => ({ name, at: encodeTime(at) })),
  };
}
