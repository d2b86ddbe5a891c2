/** Clients of the pooled port that say goodbye, and leave their connection open behind it. */
import { encodeMessage } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, everything, loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeQuery, SYNC, TERMINATE } from "../wire/messages.ts";
import { servingAcme } from "./throwaway-pool.ts";

const COPY = "copy kept from stdin";
const SLOW = encodeQuery("insert into kept select 1 from pg_sleep(0.3)");
const DATA = encodeMessage("d", Buffer.from("1\n"));
const batch = (sql: string) =>
  Buffer.concat([UNNAMED.parse(sql), UNNAMED.bind, UNNAMED.execute(0)]);

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let witness: pg.Client;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 4_000 }));
  witness = await connectTo(gateway.pgPort, acme);
  await witness.query("create table kept (n int)");
});
afterAll(async () => {
  await witness.end();
  await platform.remove();
});

test.each([
  ["a batch without its Sync", [batch("insert into kept values (1)"), TERMINATE], 0],
  ["a query and such a batch", [SLOW, batch("insert into kept values (1)"), TERMINATE], 1],
  ["an open transaction", [encodeQuery("begin"), SLOW, TERMINATE], 0],
  ["a query", [SLOW, TERMINATE], 1],
  ["a query, with more behind its goodbye", [SLOW, TERMINATE, SLOW, SLOW.subarray(0, 9)], 1],
  ["a part of what it copies", [encodeQuery(COPY), DATA, TERMINATE], 0],
  ["a batch that copies", [batch(COPY), SYNC, TERMINATE], 0],
])("who says goodbye behind %s is ended, and its server freed", async (_what, asked, rows) => {
  for (const apart of [false, true]) {
    await witness.query("truncate kept");
    const socket = await loggedIn(gateway.pgPooledPort, acme);
    const end = everything(socket);
    for (const part of apart ? asked : [Buffer.concat(asked)]) {
      socket.write(part);
      if (apart) await sleep(50);
    }
    await end;
    const next = await connectTo(gateway.pgPooledPort, acme);
    expect((await next.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await next.end();
    expect((await witness.query("select count(*)::int as n from kept")).rows[0].n).toBe(rows);
  }
});
