/**
 * Clients that say anything, cut anywhere, and leave at any moment, through both ports: whoever
 * else is there is served all the same, and nothing is left over.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeMessage } from "@aerodb/postgres";
import { monotonicMs, sleep } from "@aerodb/runtime";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectRaw, connectTo, loggedIn } from "./fake-client.ts";

const FUZZ_MS = Number(process.env["FUZZ_SECONDS"] ?? 6) * 1_000;
const POOL_SIZE = 4;
const STORMERS = 6;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let hostile: ThrowawayTenant;
let neighbour: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  hostile = await platform.instance.addTenant("hostile");
  neighbour = await platform.instance.addTenant("neighbour");
  platform.control.whole = platform.tableOf([hostile, neighbour], { generation: 5n });
  gateway = await platform.startGateway({ poolSize: POOL_SIZE, poolWaitMs: 2_000 });
  await platform.followed(5n);
});
afterAll(() => platform.remove());
afterEach(() => {
  // One server crash ends the sessions of all.
  const log = readFileSync(platform.instance.settings.logFile, "latin1");
  expect(log.match(/^.*terminated by signal.*$/m)?.[0]).toBeUndefined();
});

const NUL = Buffer.alloc(1);
const some = (most: number) => Math.floor(Math.random() * most);
const oneOf = <Value>(values: readonly Value[]): Value => values[some(values.length)] as Value;
const text = (value: string) => Buffer.from(`${value}\0`);
const int16 = (value: number) => Buffer.from([value >> 8, value & 255]);

const SQL = [
  ...["select 1", "select pg_sleep(0.01)", "begin", "commit", "rollback", "select 1/0", ""],
  ...["copy (select generate_series(1, 100)) to stdout", "copy pg_temp.t from stdin", "nonsense"],
  ...["create temporary table if not exists t (i int)", "set work_mem = '5MB'", "discard all"],
  ...["listen news", "deallocate all", "select repeat('x', 100000)", "begin; select 1; commit"],
  ...["prepare p as select 1", "declare c cursor with hold for select 1", "select 1; select 2"],
];
const NAMES = ["", "a", "b", "aerodb_1", "x".repeat(70)];

function message(): Buffer {
  const [name, portal] = [text(oneOf(NAMES)), text(oneOf(NAMES))];
  const kind = Buffer.from(oneOf(["S", "P"]));
  switch (some(14)) {
    case 0:
    case 1:
      return encodeMessage("Q", text(oneOf(SQL)));
    case 2:
      return encodeMessage("P", name, text(oneOf(SQL)), int16(0));
    case 3:
      return encodeMessage("B", portal, name, int16(0), int16(0), int16(0));
    case 4:
      return encodeMessage("D", kind, name);
    case 5:
      return encodeMessage("C", kind, name);
    case 6:
      return encodeMessage("E", portal, Buffer.alloc(4));
    case 7:
    case 8:
      return encodeMessage("S");
    case 9:
      return encodeMessage("H");
    case 10:
      return encodeMessage(oneOf(["d", "c", "f"]), oneOf([Buffer.from("1\n"), NUL]));
    case 11:
      return encodeMessage(oneOf(["Q", "P", "B", "C", "D", "?", "F"]), randomBytes(some(40)));
    case 12:
      return some(20) === 0 ? encodeMessage("X") : encodeMessage("S");
    default:
      return some(30) === 0 ? randomBytes(1 + some(60)) : encodeMessage("S");
  }
}

/** One connection after the other, each with much said in pieces, until the time is over. */
async function storm(port: number, until: () => boolean): Promise<number> {
  let said = 0;
  while (!until()) {
    const socket = await loggedIn(port, hostile).catch(() => undefined);
    if (socket === undefined) continue;
    socket.resume();
    const rounds = 1 + some(30);
    for (let round = 0; round < rounds && !socket.destroyed; round += 1) {
      const bytes = Buffer.concat(Array.from({ length: 1 + some(6) }, message));
      const cut = some(bytes.length);
      socket.write(bytes.subarray(0, cut));
      if (some(3) === 0) await sleep(some(8));
      socket.write(bytes.subarray(cut));
      said += 1;
      if (some(4) === 0) await sleep(some(10));
    }
    if (some(2) === 0) socket.resetAndDestroy();
    else socket.end();
  }
  return said;
}

test.each(["pgPort", "pgPooledPort"] as const)(
  "through %s",
  { timeout: 120_000 },
  async (which) => {
    const port = gateway[which];
    const deadline = monotonicMs() + FUZZ_MS;
    const over = () => monotonicMs() > deadline;
    const storms = Array.from({ length: STORMERS }, () => storm(port, over));
    const client = await connectTo(port, neighbour);
    let served = 0;
    while (!over()) {
      const statement = { name: "mine", text: "select $1::int as n", values: [served] };
      expect((await client.query(statement)).rows).toEqual([{ n: served }]);
      served += 1;
      await sleep(2);
    }
    const said = (await Promise.all(storms)).reduce((sum, each) => sum + each, 0);
    expect(said).toBeGreaterThan(10);
    expect(served).toBeGreaterThan(10);
    await client.end();
    // Whatever was begun has an end: of the hostile tenant nothing is left but what the pool keeps.
    const watcher = await connectTo(gateway.pgPort, neighbour);
    const left = `select count(*)::int as busy from pg_stat_activity
    where usename = '${hostile.tenantId}' and state <> 'idle'`;
    await expect
      .poll(async () => (await watcher.query(left)).rows[0].busy, { timeout: 15_000 })
      .toBe(0);
    const all = "select count(*)::int as kept from pg_stat_activity where usename = $1";
    const kept = async () => (await watcher.query(all, [hostile.tenantId])).rows[0].kept;
    await expect.poll(kept, { timeout: 15_000 }).toBeLessThanOrEqual(POOL_SIZE);
    await watcher.end();
    for (let round = 0; round < 3 * POOL_SIZE; round += 1) {
      const after = await connectTo(port, hostile);
      expect((await after.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
      await after.end();
    }
  },
);

test("before anybody has logged in", { timeout: 60_000 }, async () => {
  const deadline = monotonicMs() + FUZZ_MS / 2;
  const startups = [randomBytes(64), Buffer.from("0000000804d2162f", "hex"), Buffer.alloc(8)];
  const storms = Array.from({ length: 20 }, async () => {
    while (monotonicMs() < deadline) {
      const socket = connectRaw(oneOf([gateway.pgPort, gateway.pgPooledPort]));
      socket.resume();
      const bytes = oneOf([...startups, randomBytes(1 + some(300))]);
      socket.write(bytes.subarray(0, some(bytes.length)));
      await sleep(some(4));
      socket.write(randomBytes(1 + some(100)));
      if (some(2) === 0) socket.resetAndDestroy();
      else socket.end();
    }
  });
  const client = await connectTo(gateway.pgPooledPort, neighbour);
  while (monotonicMs() < deadline) await client.query("select 1");
  await Promise.all(storms);
  await client.end();
});
