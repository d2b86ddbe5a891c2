import type { KeySchema, KeyService } from "@aerodb/rpc/aerodb/control/v1/key_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { Key, NewKey } from "../app/keys.ts";
import { callerOf } from "./caller.ts";

export interface Keys {
  create(caller: Caller, ask: NewKey): Promise<{ readonly key: Key; readonly secret: string }>;
  list(): Promise<readonly Key[]>;
  revoke(caller: Caller, keyId: string): Promise<void>;
}

export function keyService(keys: Keys): ServiceImpl<typeof KeyService> {
  return {
    async createKey(request, context) {
      const { name, scopes } = request;
      const { key, secret } = await keys.create(callerOf(context), { name, scopes });
      return { key: { ...encodeKey(key), secret } };
    },

    async listKeys() {
      return { keys: (await keys.list()).map(encodeKey) };
    },

    async revokeKey(request, context) {
      await keys.revoke(callerOf(context), request.keyId);
      return {};
    },
  };
}

function encodeKey(key: Key) {
  return {
    keyId: key.id,
    name: key.name,
    scopes: [...key.scopes],
    createdAt: encodeTime(key.createdAt),
  } satisfies MessageInitShape<typeof KeySchema>;
}
