/** Clients that read literals each in its own way, and prepare the same texts. */
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, loggedIn } from "../wire/fake-client.ts";
import { encodeParse, encodeQuery, SYNC } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 2, poolWaitMs: 8_000 }));
});
afterAll(() => platform.remove());

function login(over: pg.ClientConfig = {}): Promise<pg.Client> {
  return connectTo(gateway.pgPooledPort, acme, over);
}

const DAY = {
  name: "day",
  text: "select extract(month from date '01/02/2020')::int as month",
};

async function monthOf(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(DAY);
  return rows[0]?.month;
}

test.each([
  ["DateStyle", "select extract(day from date '01/02/2020') as v", "ISO, DMY", "ISO, MDY"],
  [
    "TimeZone",
    "select extract(epoch from timestamptz '2020-01-01 00:00') as v",
    "UTC",
    "Asia/Tokyo",
  ],
  [
    "IntervalStyle",
    "select extract(hour from interval '-1 2:00') as v",
    "sql_standard",
    "postgres",
  ],
  ["standard_conforming_strings", "select length('a\\\\b') as v", "on", "off"],
  ["client_encoding", "select length('ä') as v", "UTF8", "LATIN1"],
])(
  "literals under a %s of its own mean to each client what it wrote",
  async (name, text, ...values) => {
    const meant = async (port: number) => {
      const clients = await Promise.all(values.map(() => connectTo(port, acme)));
      const seen: unknown[] = [];
      for (const [at, client] of clients.entries()) {
        await client.query(`set ${name} = '${values[at]}'`);
        seen.push((await client.query({ name: "v", text })).rows[0]?.v);
      }
      for (const client of clients) seen.push((await client.query({ name: "v", text })).rows[0]?.v);
      await Promise.all(clients.map((client) => client.end()));
      return seen;
    };
    const direct = await meant(gateway.pgPort);
    expect(direct[0]).not.toEqual(direct[1]);
    expect(await meant(gateway.pgPooledPort)).toEqual(direct);
  },
);

test("what was prepared stays as it was read, on whichever server, as the client goes on", async () => {
  const [client, holder] = [await login(), await login()];
  await client.query("set datestyle = 'ISO, DMY'");
  expect(await monthOf(client)).toBe(2);
  await client.query("set datestyle = 'ISO, MDY'");
  const pids = new Set<number>();
  for (const held of [false, true]) {
    if (held) await holder.query("begin");
    expect(await monthOf(client)).toBe(2);
    const { rows } = await client.query("select pg_backend_pid() as pid");
    pids.add(rows[0].pid);
    const shown = await client.query("select current_setting('datestyle') as is");
    expect(shown.rows).toEqual([{ is: "ISO, MDY" }]);
  }
  expect(pids.size).toBe(2);
  await holder.query("commit");
  await Promise.all([client.end(), holder.end()]);
});

test("in a transaction that reads otherwise a statement is what it was before", async () => {
  const client = await login();
  await client.query("set datestyle = 'ISO, DMY'");
  expect(await monthOf(client)).toBe(2);
  // No server has it any more.
  await client.query("do $$ begin end $$");
  await client.query("begin");
  await client.query("create temporary table passing (n int)");
  await client.query("set local datestyle = 'ISO, MDY'");
  expect(await monthOf(client)).toBe(2);
  const inside = await client.query("select current_setting('datestyle') as is");
  expect(inside.rows).toEqual([{ is: "ISO, MDY" }]);
  expect((await client.query("select * from passing")).rows).toEqual([]);
  await client.query("commit");
  const outside = await client.query("select current_setting('datestyle') as is");
  expect(outside.rows).toEqual([{ is: "ISO, DMY" }]);
  await client.end();
});

test("a statement that cannot be prepared any more takes none of the others along", async () => {
  const client = await login();
  await client.query("create table passing (n int)");
  await client.query({ name: "gone", text: "select * from passing" });
  expect(await monthOf(client)).toBe(1);
  await client.query("drop table passing");
  await client.query("do $$ begin end $$");
  await client.query("set datestyle = 'ISO, DMY'");
  expect(await monthOf(client)).toBe(1);
  await expect(client.query({ name: "gone", text: "" })).rejects.toThrow();
  expect(await monthOf(client)).toBe(1);
  await client.end();
});

test("what is prepared in the same breath as settings change is nobody else's", async () => {
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  const reader = new MessageReader();
  const body = Buffer.concat([Buffer.from(`${DAY.text}\0`), Buffer.alloc(2)]);
  const asked = [encodeQuery("set datestyle = 'ISO, DMY'"), encodeParse("day", body), SYNC];
  socket.write(Buffer.concat([...asked, encodeMessage("X")]));
  const signal = AbortSignal.timeout(10_000);
  while ((await nextMessage({ stream: socket, reader }, signal)) !== undefined);
  const other = await login();
  expect(await monthOf(other)).toBe(1);
  await other.end();
});
