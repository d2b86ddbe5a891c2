/** What a client does to its server where the pool cannot see it, and what others have of it. */
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, loggedIn } from "../wire/fake-client.ts";
import { encodeParse } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 8_000 }));
});
afterAll(() => platform.remove());

function login(): Promise<pg.Client> {
  return connectTo(gateway.pgPooledPort, acme);
}

/** What the one server has prepared. */
async function preparedFor(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "select name from pg_prepared_statements order by 1",
  );
  return rows.map(({ name }) => name);
}

test.each([
  ["a block of code", "do $$ begin execute 'deallocate all'; end $$"],
  ["a block that fails", "do $$ begin execute 'deallocate all'; raise 'no'; end $$"],
  ["one of several statements", "select 1; deallocate NAME"],
])("statements that %s deallocates are prepared again for everybody", async (_what, sql) => {
  const [one, other] = [await login(), await login()];
  const named = { name: "mine", text: "select 1 as one" };
  await one.query(named);
  const [name = ""] = await preparedFor(one);
  await other.query(sql.replace("NAME", name)).catch(() => undefined);
  expect((await one.query(named)).rows).toEqual([{ one: 1 }]);
  expect((await other.query({ ...named, name: "its" })).rows).toEqual([{ one: 1 }]);
  await Promise.all([one.end(), other.end()]);
});

test("what nobody could see is mended by the error that it leads to", async () => {
  const client = await login();
  await client.query(`create function forget() returns void language plpgsql
    as $$ begin execute 'deallocate all'; end $$`);
  const named = { name: "mine", text: "select 1 as one" };
  await client.query(named);
  await client.query("select forget()");
  await expect(client.query(named)).rejects.toMatchObject({ code: "26000" });
  expect((await client.query(named)).rows).toEqual([{ one: 1 }]);
  await client.query("drop function forget");
  await client.end();
});

test("a statement that is deallocated by its client takes none of the others along", async () => {
  const client = await login();
  await client.query({ name: "stays", text: "select 1 as one" });
  const [stays] = await preparedFor(client);
  await client.query({ name: "goes", text: "select 2 as two" });
  await client.query("deallocate goes");
  expect(await preparedFor(client)).toContain(stays);
  await client.query({ text: "deallocate stays", values: [] });
  expect(await preparedFor(client)).toContain(stays);
  await client.end();
});

test("what a call of a function and a name in escapes leave is undone", async () => {
  const [one, other] = [await login(), await login()];
  const { rows } = await one.query(
    "select 'pg_advisory_lock(int8)'::regprocedure::oid::int as oid",
  );
  const key = Buffer.alloc(8, 7);
  const call = Buffer.alloc(20);
  call.writeUInt32BE(rows[0].oid, 0);
  call.writeUInt16BE(1, 4);
  call.writeUInt16BE(1, 6);
  call.writeUInt16BE(1, 8);
  call.writeUInt32BE(8, 10);
  const message = encodeMessage("F", call.subarray(0, 14), key, Buffer.from([0, 1]));
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  socket.write(message);
  const peer = { stream: socket, reader: new MessageReader() };
  expect((await nextMessage(peer, AbortSignal.timeout(5_000)))?.type).toBe("V");
  const locks = "select count(*)::int as n from pg_locks where locktype = 'advisory'";
  expect((await other.query(locks)).rows).toEqual([{ n: 0 }]);
  await one.query(`select u&"set\\005fconfig"('app.left', 'behind', false)`);
  await one.query("update pg_settings set setting = '7777' where name = 'work_mem'");
  const left = `select current_setting('app.left', true) as mine,
    current_setting('work_mem') as work_mem`;
  const [seen] = (await other.query(left)).rows;
  expect(seen.mine ?? "").toBe("");
  expect(seen.work_mem).not.toBe("7777kB");
  socket.destroy();
  await Promise.all([one.end(), other.end()]);
});

test("one limit holds for names in every message, and a length of nothing ends it", async () => {
  const name = (length: number) => Buffer.from(`${"x".repeat(length)}\0`);
  const body = Buffer.concat([Buffer.from("select 1\0"), Buffer.alloc(2)]);
  const messages = (length: number) => [
    encodeParse("x".repeat(length), body),
    encodeMessage("B", Buffer.alloc(1), name(length), Buffer.alloc(6)),
    encodeMessage("B", name(length), name(1), Buffer.alloc(6)),
    encodeMessage("D", Buffer.from("S"), name(length)),
    encodeMessage("C", Buffer.from("S"), name(length)),
  ];
  const first = async (bytes: Buffer) => {
    const socket = await loggedIn(gateway.pgPooledPort, acme);
    socket.write(Buffer.concat([bytes, encodeMessage("S")]));
    const peer = { stream: socket, reader: new MessageReader() };
    const message = await nextMessage(peer, AbortSignal.timeout(5_000));
    socket.destroy();
    const code = /C([0-9A-Z]{5})\0/.exec(message?.payload.toString("latin1") ?? "")?.[1];
    return code ?? message?.type;
  };
  for (const message of [...messages(1_019), ...messages(5_000)]) {
    expect(await first(message)).toBe("54000");
  }
  const taken = await Promise.all(messages(1_018).map(first));
  expect(taken).toEqual(["1", "26000", "26000", "26000", "3"]);
  for (const length of ["\xff\xff\xff\xff", "\x40\0\0\0"]) {
    expect(await first(Buffer.from(`Q${length}`, "latin1"))).toBe("08P01");
  }
});
