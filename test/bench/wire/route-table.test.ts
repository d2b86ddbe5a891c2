/** A gateway that knows many tenants: what the table takes, and how long it is taken in. */
import { RouteSchema } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { newId } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ThrowawayPlatform } from "../../../gateway/src/throwaway-platform.ts";
import type { Piece } from "../../piece-process.ts";
import { queryOnce } from "../../platform-client.ts";
import { until } from "../../until.ts";
import { mib, ms, report, timed } from "../figures.ts";
import { memoryOf } from "../process-cost.ts";
import { startBenchGateway } from "./bench-gateway.ts";

const TENANTS = Number(process.env["BENCH_TENANTS"] ?? 100_000);
/** Below what one message may hold. */
const PART = 5_000;
const TAKEN_MS = 300_000;
const EMPTY = 1n;
const FULL = 2n;

type Table = ReturnType<ThrowawayPlatform["tableOf"]>;

let platform: ThrowawayPlatform;
let gateway: Piece | undefined;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
});
afterAll(async () => {
  await gateway?.kill();
  await platform?.remove();
});

/** How long it is until a new process serves. Returns once it follows control as well. */
async function start(generation: bigint): Promise<number> {
  await gateway?.kill();
  // What the one before has said.
  platform.control.requests.length = 0;
  const tookMs = await timed(async () => {
    gateway = await startBenchGateway(platform);
  });
  await platform.followed(generation);
  return tookMs;
}

/** The parts of a table of many, in which one is real. */
function partsOf({ generation = 0n, routes = [], endpoints = [] }: Table): readonly Table[] {
  const real = create(RouteSchema, routes[0]);
  const others = Array.from({ length: TENANTS - 1 }, (_, at) => {
    const tenantId = newId("ten");
    return { ...real, tenantId, name: `tenant-number-${at}`, role: tenantId };
  });
  const all = [real, ...others];
  const count = Math.ceil(all.length / PART);
  return Array.from({ length: count }, (_, at) => ({
    ...{ generation, whole: true, more: at < count - 1 },
    routes: all.slice(at * PART, (at + 1) * PART),
    endpoints: at === 0 ? endpoints : [],
  }));
}

test(`${TENANTS} tenants`, async () => {
  const tenant = await platform.instance.addTenant("one-of-many");
  platform.control.whole = { generation: EMPTY, whole: true };
  await start(EMPTY);
  const startEmptyMs = await start(EMPTY);
  const { pid = 0 } = gateway ?? {};
  const parts = partsOf(platform.tableOf([tenant], { generation: FULL }));
  const before = memoryOf(pid).rssBytes;
  const takenMs = await timed(async () => {
    for (const part of parts) platform.control.send(part);
    const followed = () => platform.control.requests.some(({ generation }) => generation === FULL);
    await until("the table to be taken in", followed, TAKEN_MS);
  });
  const takenIn = memoryOf(pid).rssBytes - before;

  // Control says nothing new: what the gateway serves is what it has kept.
  platform.control.whole = { generation: FULL };
  const startFullMs = await start(FULL);
  const loaded = memoryOf(gateway?.pid ?? 0).rssBytes - before;
  const port = (await gateway?.ready)?.["pgPort"];
  const { tenantId, password, name } = tenant;
  const uri = `postgres://${tenantId}:${password}@127.0.0.1:${port}/${name}`;
  expect(await queryOnce(uri, "select 1 as one")).toEqual([{ one: 1 }]);

  report(`A route table of ${TENANTS} tenants`, [
    { what: "taken in from control", measured: ms(takenMs), reach: "-" },
    { what: "memory, once it is taken in", measured: mib(takenIn), reach: "-" },
    { what: "memory, loaded at a start", measured: mib(loaded), reach: "-" },
    { what: "start with an empty table", measured: ms(startEmptyMs), reach: "-" },
    { what: "start with the table", measured: ms(startFullMs), reach: "-" },
  ]);
});
