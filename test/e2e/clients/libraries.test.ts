/** Libraries with a hand of their own: postgres.js, and Kysely on pg. */

import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Generated, Kysely, PostgresDialect, sql as raw } from "kysely";
import pg from "pg";
import Cursor from "pg-cursor";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { usePlatform } from "../../platform.ts";
import { queryOnce } from "../../platform-client.ts";
import { until } from "../../until.ts";
import { CLIENT_PORTS, useTenant } from "./client-ports.ts";

const platform = usePlatform();

describe.each(CLIENT_PORTS)("postgres.js by the $name port", (port) => {
  const tenant = useTenant(platform, "postgres-js", port);
  let sql: postgres.Sql;
  beforeAll(() => {
    sql = postgres(tenant().uri, { max: 3, onnotice: () => undefined });
  });
  afterAll(() => sql?.end());

  test("connects over TLS, verified or not", async () => {
    const { namedUri, caFile } = tenant();
    for (const ssl of ["require", { ca: readFileSync(caFile, "utf8") }] as const) {
      const secure = postgres(namedUri, { ssl, max: 1 });
      expect([...(await secure`select 1 as one`)]).toEqual([{ one: 1 }]);
      await secure.end();
    }
    const strict = postgres(namedUri, { ssl: "verify-full", max: 1 });
    await expect(strict`select 1`).rejects.toThrow(/certificate/);
    await strict.end();
  });

  test("sends queries one behind the other, with statements it prepares and without", async () => {
    for (const prepare of [true, false]) {
      const one = postgres(tenant().uri, { max: 1, prepare });
      const asked = Array.from({ length: 60 }, (_, at) => one`select 60 / ${at - 30}::int as n`);
      const settled = await Promise.allSettled(asked);
      const failed = settled.flatMap((each, at) => (each.status === "rejected" ? [at] : []));
      expect(failed).toEqual([30]);
      expect(settled[30]).toMatchObject({ reason: { code: "22012" } });
      await one.end();
    }
  });

  test("commits, rolls back, and goes back to a savepoint", async () => {
    await sql`create table ledger (n int unique)`;
    const refused = sql.begin(async (inner) => {
      await inner`insert into ledger values (1)`;
      await inner`insert into ledger values (1)`;
    });
    await expect(refused).rejects.toMatchObject({ code: "23505", constraint_name: "ledger_n_key" });
    await sql.begin(async (inner) => {
      await inner`insert into ledger values (2)`;
      await inner
        .savepoint(async (within) => {
          await within`insert into ledger values (3)`;
          throw new Error("no further");
        })
        .catch(() => undefined);
    });
    expect([...(await sql`select n from ledger`)]).toEqual([{ n: 2 }]);
  });

  test("reads with a cursor, and leaves it in the middle", async () => {
    const sizes: number[] = [];
    await sql`select n from generate_series(1, 10000) n`.cursor(300, (rows) => {
      sizes.push(rows.length);
      return sizes.length === 3 ? sql.CLOSE : undefined;
    });
    expect(sizes).toEqual([300, 300, 300]);
    expect([...(await sql`select 1 as one`)]).toEqual([{ one: 1 }]);
  });

  test("copies in and out", async () => {
    await sql`create table copied (n int, word text)`;
    const lines = Array.from({ length: 1_000 }, (_, n) => `${n}\tword\n`);
    await pipeline(Readable.from(lines), await sql`copy copied from stdin`.writable());
    const out: Buffer[] = [];
    for await (const part of await sql`copy copied to stdout`.readable()) out.push(part);
    expect(Buffer.concat(out).toString().trimEnd().split("\n")).toHaveLength(1_000);
  });

  test("cancels a query", async () => {
    const sleeping = sql`select pg_sleep(60), 'postgres.js'`;
    const ended = sleeping.catch((error: postgres.PostgresError) => error);
    const active = `select 1 from pg_stat_activity
      where query like '%postgres.js%' and state = 'active' and pid <> pg_backend_pid()`;
    await until("it to run", async () => (await queryOnce(tenant().uri, active)).length > 0);
    sleeping.cancel();
    expect(await ended).toMatchObject({ code: "57014" });
  });

  test.runIf(port.keepsSession)("listens and notifies", async () => {
    const heard: string[] = [];
    const { unlisten } = await sql.listen("news", (payload) => heard.push(payload));
    await sql.notify("news", "hello");
    await until("the notification", () => heard.includes("hello"));
    await unlisten();
  });

  test("is refused logical replication, and told why", async () => {
    const own = postgres(tenant().uri, { max: 1, publications: "alltables", idle_timeout: 1 });
    await expect(own.subscribe("*", () => undefined)).rejects.toMatchObject({
      code: "22023",
      message: expect.stringContaining('"replication" cannot be set through this gateway'),
    });
    await own.end({ timeout: 1 });
  });
});

interface Database {
  readonly people: { readonly id: Generated<number>; readonly name: string };
  readonly pets: { readonly owner_id: number; readonly name: string };
}

describe.each(CLIENT_PORTS)("Kysely by the $name port", (port) => {
  const tenant = useTenant(platform, "kysely", port);
  let database: Kysely<Database>;
  beforeAll(() => {
    const pool = new pg.Pool({ connectionString: tenant().uri, max: 3 });
    database = new Kysely({ dialect: new PostgresDialect({ pool, cursor: Cursor }) });
  });
  afterAll(() => database?.destroy());

  test("makes tables, inserts, joins, and streams", async () => {
    await database.schema
      .createTable("people")
      .addColumn("id", "integer", (column) => column.primaryKey().generatedAlwaysAsIdentity())
      .addColumn("name", "text", (column) => column.notNull().unique())
      .execute();
    await database.schema
      .createTable("pets")
      .addColumn("owner_id", "integer", (column) => column.references("people.id"))
      .addColumn("name", "text")
      .execute();
    const { id } = await database
      .insertInto("people")
      .values({ name: "Ada" })
      .returning("id")
      .executeTakeFirstOrThrow();
    const pets = Array.from({ length: 250 }, (_, at) => ({ owner_id: id, name: `pet ${at}` }));
    await database.insertInto("pets").values(pets).execute();
    const joined = database
      .selectFrom("people")
      .innerJoin("pets", "pets.owner_id", "people.id")
      .select(["people.name as owner", "pets.name as pet"]);
    expect(await joined.where("pets.name", "=", "pet 7").execute()).toEqual([
      { owner: "Ada", pet: "pet 7" },
    ]);
    let streamed = 0;
    for await (const { owner } of joined.stream(50)) if (owner === "Ada") streamed += 1;
    expect(streamed).toBe(250);
  });

  test("rolls a transaction back, and names what was wrong", async () => {
    const torn = database.transaction().execute(async (inner) => {
      await inner.insertInto("people").values({ name: "Grace" }).execute();
      await inner.insertInto("people").values({ name: "Ada" }).execute();
    });
    await expect(torn).rejects.toMatchObject({ code: "23505" });
    const { rows } = await raw<{ n: number }>`select count(*)::int n from people`.execute(database);
    expect(rows).toEqual([{ n: 1 }]);
  });
});
