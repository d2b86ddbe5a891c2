/** Clients of the pooled port that end their side behind what they ask. */
import type { Socket } from "node:net";
import { encodeMessage } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, everything, loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeQuery, SYNC, TERMINATE } from "../wire/messages.ts";
import { servingAcme } from "./throwaway-pool.ts";

const SLOW = encodeQuery("insert into kept select 1 from pg_sleep(0.3)");
const COPY = encodeQuery("copy kept from stdin");
const DATA = encodeMessage("d", Buffer.from("1\n"));
const COPY_DONE = encodeMessage("c");

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let witness: pg.Client;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 8_000 }));
  witness = await connectTo(gateway.pgPort, acme);
  await witness.query("create table kept (n int)");
});
beforeEach(() => witness.query("truncate kept"));
afterAll(async () => {
  await witness.end();
  await platform.remove();
});

async function kept(): Promise<number> {
  return (await witness.query("select count(*)::int as n from kept")).rows[0].n;
}

/** Types of all messages that come until the end. */
async function typesOf(socket: Socket): Promise<string> {
  const said = await everything(socket);
  let types = "";
  for (let at = 0; at < said.length; at += 1 + said.readUInt32BE(at + 1)) {
    types += String.fromCharCode(said[at] ?? 0);
  }
  return types;
}

test.each([
  ["a query", [SLOW], "CZ", 1],
  ["two of them and a goodbye", [SLOW, SLOW, TERMINATE], "CZCZ", 2],
  ["a batch", [UNNAMED.parse("select 1"), UNNAMED.bind, UNNAMED.execute(0), SYNC], "12DCZ", 0],
  ["a batch without its Sync", [SLOW, UNNAMED.parse("select 1")], "CZ", 1],
  ["a query and a half", [SLOW, SLOW.subarray(0, 9)], "CZ", 1],
  ["all that it copies", [COPY, DATA, COPY_DONE], "GCZ", 1],
  ["a part of what it copies", [COPY, DATA], "GEZ", 0],
  ["an open transaction", [encodeQuery("begin"), SLOW], "CZCZ", 0],
])(
  "who ends its side behind %s is answered that, as on the other port",
  async (_what, asked, types, rows) => {
    for (const port of [gateway.pgPort, gateway.pgPooledPort]) {
      await witness.query("truncate kept");
      const socket = await loggedIn(port, acme);
      socket.end(Buffer.concat(asked));
      // Of what no Sync or CopyDone has followed, a server of one's own says nothing at the end.
      expect(await typesOf(socket)).toMatch(
        port === gateway.pgPort ? /^/ : new RegExp(`^${types}$`),
      );
      expect(await kept()).toBe(rows);
    }
  },
);

test("who closes behind its queries has them carried out", async () => {
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  socket.write(Buffer.concat([SLOW, SLOW, SLOW]), () => socket.destroy());
  await expect.poll(kept, { timeout: 5_000 }).toBe(3);
});

test("who closes behind a query without an end is not answered without an end", async () => {
  const endless = "select repeat('y', 1000), generate_series(1, 100000000)";
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  socket.write(encodeQuery(endless));
  await new Promise((resolve) => socket.once("data", resolve));
  socket.end();
  await sleep(100);
  socket.resetAndDestroy();
  const text = "select from pg_stat_activity where query = $1 and state = 'active'";
  await expect.poll(async () => (await witness.query(text, [endless])).rowCount).toBe(0);
  const next = await connectTo(gateway.pgPooledPort, acme);
  expect((await next.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await next.end();
});

test("who ends its side while it waits for a server is served in its turn", async () => {
  // A pool that was empty for a moment may be another one, and asks a server for its greeting.
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  const holder = await connectTo(gateway.pgPooledPort, acme);
  await holder.query("begin");
  socket.end(SLOW);
  await sleep(200);
  await holder.query("commit");
  expect(await typesOf(socket)).toBe("CZ");
  expect(await kept()).toBe(1);
  await holder.end();
});

test("a client whose connection breaks takes its query with it", async () => {
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  socket.write(encodeQuery("insert into kept select 1 from pg_sleep(20)"));
  await sleep(200);
  socket.resetAndDestroy();
  const next = await connectTo(gateway.pgPooledPort, acme);
  expect((await next.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await next.end();
});
