import type {
  SharedTableChangeSchema,
  SharedTableService,
} from "@aerodb/rpc/aerodb/control/v1/shared_table_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { AppliedChange, ListedChanges, StoredChange } from "../app/shared-tables.ts";
import { callerOf } from "./caller.ts";

export interface SharedTables {
  list(): Promise<ListedChanges>;
  apply(
    caller: Caller,
    ask: { readonly name: string; readonly sql: string },
    signal: AbortSignal,
  ): Promise<AppliedChange>;
}

export function sharedTableService(tables: SharedTables): ServiceImpl<typeof SharedTableService> {
  return {
    async applySharedTables({ name, sql }, context) {
      const applied = await tables.apply(callerOf(context), { name, sql }, context.signal);
      return { change: encodeChange(applied.change), repeated: applied.repeated };
    },

    async listSharedTables() {
      const { changes, behind } = await tables.list();
      return { changes: changes.map(encodeChange), behind: [...behind] };
    },
  };
}

function encodeChange(change: StoredChange): MessageInitShape<typeof SharedTableChangeSchema> {
  return { ...change, createdAt: encodeTime(change.createdAt) };
}
