/** What a client does to its server where the pool cannot see it, and what others have of it. */
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo } from "../wire/fake-client.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation: 5n });
  gateway = await platform.startGateway({ poolSize: 1, poolWaitMs: 8_000 });
  await platform.followed(5n);
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
