/** Who waits for a server of a pool while those that are opened come to nothing. */
import { PassThrough } from "node:stream";
import { MessageReader, type ScramKeys, type ServerReport } from "@aerodb/postgres";
import { RouteSchema } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { silent } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";
import { Pool, type PoolSettings, type Waiting } from "./pool.ts";

/** What a server says first, before it ends. */
function endedAtLogin() {
  const first = { type: "N", bytes: Buffer.alloc(0), payload: Buffer.alloc(0) };
  return { stream: new PassThrough().end(), reader: new MessageReader(), first };
}

/** Nobody comes so far that they are looked at. */
const KEYS = {} as ScramKeys;

test("each is told of a server that ended as it was opened, and nobody waits for no one", async () => {
  const open = vi.fn(async () => endedAtLogin());
  const settings = {
    instances: { open },
    parking: { join: () => () => undefined, of: () => undefined },
    traffic: {},
    reach: { loggedIn: () => undefined },
    logger: silent,
    poolSize: 2,
    poolWaitMs: 300_000,
  };
  const route = create(RouteSchema, { instanceId: "ins_1", connectionLimit: 20 });
  const pool = new Pool(route, KEYS, settings as unknown as PoolSettings);
  const reports: ServerReport[] = [];
  for (let client = 0; client < 5; client += 1) {
    const denied = (report: ServerReport) => reports.push(report);
    expect(pool.acquire({ settingsKey: "", denied } as unknown as Waiting)).toBeUndefined();
  }
  await vi.waitUntil(() => reports.length === 5);
  expect(new Set(reports.map(({ sqlState }) => sqlState))).toEqual(new Set(["57P03"]));
  expect(open).toHaveBeenCalledTimes(5);
  pool.close({ severity: "FATAL", sqlState: "57P01", message: "over" });
});
