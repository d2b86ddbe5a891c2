/** node-postgres, in the order of its own tests: client, errors, types, pool. */
import { readFileSync } from "node:fs";
import pg from "pg";
import { describe, expect, test } from "vitest";
import { usePlatform } from "../../platform.ts";
import { connect, queryOnce } from "../../platform-client.ts";
import { until } from "../../until.ts";
import { CLIENT_PORTS, useTenant } from "./client-ports.ts";

const platform = usePlatform();
const MEGABYTE = 1_000_000;

async function using<Result>(
  uri: string,
  work: (client: pg.Client) => Promise<Result>,
  options: pg.ClientConfig = {},
): Promise<Result> {
  const client = await connect(uri, options);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

describe.each(CLIENT_PORTS)("pg by the $name port", (port) => {
  const tenant = useTenant(platform, "pg", port);

  test("connects in the clear, over TLS, and over TLS that it verifies", async () => {
    const { uri, namedUri, caFile } = tenant();
    const ca = readFileSync(caFile, "utf8");
    for (const ssl of [false, { rejectUnauthorized: false }, { ca }]) {
      const rows = await using(namedUri, (client) => client.query("select 1 as one"), { ssl });
      expect(rows.rows).toEqual([{ one: 1 }]);
    }
    await expect(connect(namedUri, { ssl: true })).rejects.toThrow(/certificate/);
    const wrongName = { ca, servername: "elsewhere.example" };
    await expect(connect(uri, { ssl: wrongName })).rejects.toThrow(/altnames|alt name/i);
  });

  test("binds parameters of every kind and reads them back", async () => {
    const values = [42, "text", null, true, 1.5, [1, 2], { a: [1] }, Buffer.from([0, 255]), ["ä"]];
    const text = `select $1::int a, $2::text b, $3::text c, $4::bool d, $5::float8 e, $6::int[] f,
      $7::jsonb g, $8::bytea h, $9::text[] i, '2020-02-29 12:00+00'::timestamptz j, 1::int8 k`;
    const { rows } = await using(tenant().uri, (client) => client.query(text, values));
    const [a, b, c, d, e, f, g, h, i] = values;
    const j = new Date("2020-02-29T12:00:00Z");
    expect(rows).toEqual([{ a, b, c, d, e, f, g, h, i, j, k: "1" }]);
  });

  test("reads rows as arrays and binary results", async () => {
    await using(tenant().uri, async (client) => {
      const asArrays = { text: "select 1 a, 2 a", rowMode: "array" as const };
      expect((await client.query(asArrays)).rows).toEqual([[1, 2]]);
      const binary = { text: "select $1::int4 n, $2::bool b", values: [7, true], binary: true };
      expect((await client.query(binary)).rows).toEqual([{ n: 7, b: true }]);
    });
  });

  test("reuses named statements, many in turn", async () => {
    await using(tenant().uri, async (client) => {
      for (let count = 0; count < 100; count += 1) {
        const name = `statement-${count % 10}`;
        const text = `select $1::int + ${count % 10} as sum`;
        const { rows } = await client.query({ name, text, values: [count] });
        expect(rows).toEqual([{ sum: count + (count % 10) }]);
      }
      const broken = { name: "broken", text: "select $1::int / 0 as n", values: [1] };
      await expect(client.query(broken)).rejects.toMatchObject({ code: "22012" });
      await expect(client.query(broken)).rejects.toMatchObject({ code: "22012" });
    });
  });

  test("commits, rolls back, and goes back to a savepoint", async () => {
    await using(tenant().uri, async (client) => {
      await client.query("create table kept (n int primary key)");
      await client.query("begin");
      await client.query("insert into kept values (1)");
      await client.query("savepoint here");
      await expect(client.query("insert into kept values (1)")).rejects.toThrow();
      await expect(client.query("select 1")).rejects.toMatchObject({ code: "25P02" });
      await client.query("rollback to here");
      await client.query("commit");
      await client.query("begin; delete from kept; rollback");
      expect((await client.query("select n from kept")).rows).toEqual([{ n: 1 }]);
    });
  });

  test("tells errors with all their fields, and goes on after each", async () => {
    await using(tenant().uri, async (client) => {
      await client.query("create table fields (n int constraint positive check (n > 0))");
      await expect(client.query("insert into fields values ($1)", [-1])).rejects.toMatchObject({
        ...{ code: "23514", severity: "ERROR", table: "fields", constraint: "positive" },
        detail: expect.stringContaining("-1"),
      });
      const wrong = "select nothing from fields";
      await expect(client.query(wrong)).rejects.toMatchObject({ code: "42703", position: "8" });
      await expect(client.query("selekt 1")).rejects.toMatchObject({ code: "42601" });
      await expect(client.query("select $1::int", ["x"])).rejects.toMatchObject({ code: "22P02" });
      expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    });
  });

  test("sends many queries before the first answer, one of them wrong", async () => {
    const options = { pipeline: true } as pg.ClientConfig;
    await using(
      tenant().uri,
      async (client) => {
        const asked = Array.from({ length: 200 }, (_, at) =>
          client.query("select 100 / ($1::int - 77) as n", [at]),
        );
        const settled = await Promise.allSettled(asked);
        const failed = settled.flatMap((each, at) => (each.status === "rejected" ? [at] : []));
        expect(failed).toEqual([77]);
        expect(settled[77]).toMatchObject({ reason: { code: "22012" } });
        expect(settled[87]).toMatchObject({ value: { rows: [{ n: 10 }] } });
      },
      options,
    );
  });

  test("asks nothing, and several things at once", async () => {
    await using(tenant().uri, async (client) => {
      expect(await client.query("")).toMatchObject({ rows: [], command: null });
      expect(await client.query(";")).toMatchObject({ rows: [] });
      expect(await client.query({ text: "", values: [], name: "empty" })).toMatchObject({
        rows: [],
      });
      const several = (await client.query(
        "create table several (n int); insert into several values (1), (2); select n from several",
      )) as unknown as pg.QueryResult[];
      expect(several.map(({ command }) => command)).toEqual(["CREATE", "INSERT", "SELECT"]);
      expect(several[2]?.rows).toEqual([{ n: 1 }, { n: 2 }]);
      const torn = client.query("insert into several values (3); select 1 / 0");
      await expect(torn).rejects.toMatchObject({ code: "22012" });
      const { rows } = await client.query("select count(*)::int as n from several");
      expect(rows).toEqual([{ n: 2 }]);
    });
  });

  test("hears notices in their order", async () => {
    await using(tenant().uri, async (client) => {
      const heard: (string | undefined)[] = [];
      client.on("notice", ({ message }) => heard.push(message));
      await client.query(`do $$ begin
        for n in 1..3 loop raise notice 'number %', n; end loop; end $$`);
      expect(heard).toEqual(["number 1", "number 2", "number 3"]);
    });
  });

  test("keeps every letter of every script, in names and in values", async () => {
    const word = "Grüße, 世界 👩‍👩‍👧 \u0301 مرحبا";
    await using(tenant().uri, async (client) => {
      const { rows } = await client.query(`select $1::text as "${word}", length($1) as n`, [word]);
      expect(rows).toEqual([{ [word]: word, n: [...word].length }]);
      const wrong = client.query(`select "${word}"`);
      await expect(wrong).rejects.toMatchObject({ message: expect.stringContaining(word) });
    });
  });

  test("sends 5 MB of text, as a query and as a parameter", async () => {
    const long = "x".repeat(5 * MEGABYTE);
    await using(tenant().uri, async (client) => {
      const { rows } = await client.query(`select length('${long}') as n`);
      expect(rows).toEqual([{ n: long.length }]);
      const back = await client.query<{ value: string }>("select $1::text as value", [long]);
      expect(back.rows[0]?.value === long).toBe(true);
    });
  });

  test("takes 50 MB in many rows, and 10 MB in one", async () => {
    await using(tenant().uri, async (client) => {
      const rowsOf = "select repeat('y', 1000) as filler from generate_series(1, $1::int)";
      const many = await client.query<{ filler: string }>(rowsOf, [50_000]);
      expect(many.rows.every(({ filler }) => filler.length === 1_000)).toBe(true);
      expect(many.rowCount).toBe(50_000);
      // The server holds several copies of one value, and has as much memory as its plan says.
      const one = await client.query<{ filler: string }>("select repeat('z', $1) as filler", [
        10 * MEGABYTE,
      ]);
      expect(one.rows[0]?.filler.length).toBe(10 * MEGABYTE);
    });
  });

  test("leaves in the middle of a result, and its server is free again", async () => {
    const client = await connect(tenant().uri, { application_name: "leaves-early" });
    // Rows come as they are made; those of a function after FROM are all made first.
    const endless = "select repeat('y', 1000), generate_series(1, 100000000)";
    const asked = client.query(endless).catch((error: Error) => error.message);
    const active = `select 1 from pg_stat_activity
      where query like 'select repeat(''y'', 1000), %' and state = 'active'`;
    await until("the query to run", async () => (await queryOnce(tenant().uri, active)).length > 0);
    const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } })
      .connection;
    stream.destroy();
    expect(await asked).toMatch(/terminated/);
    await until("the query to end", async () => (await queryOnce(tenant().uri, active)).length < 1);
  });

  test.runIf(port.keepsSession)("keeps what is the session's own", async () => {
    const options = { application_name: "by pg", statement_timeout: 300 };
    await using(
      tenant().uri,
      async (client) => {
        const shown = await client.query("show application_name");
        expect(shown.rows).toEqual([{ application_name: "by pg" }]);
        await expect(client.query("select pg_sleep(30)")).rejects.toMatchObject({ code: "57014" });
        await client.query("create temporary table own (n int); set datestyle to german");
        await client.query("insert into own values (1)");
        const { rows } = await client.query("select n, '2020-02-29'::date::text as day from own");
        expect(rows).toEqual([{ n: 1, day: "29.02.2020" }]);
      },
      options,
    );
  });

  test.runIf(port.keepsSession)(
    "hears what others notify, while it asks and while it rests",
    async () => {
      await using(tenant().uri, async (client) => {
        const heard: (string | undefined)[] = [];
        client.on("notification", ({ payload }) => heard.push(payload));
        await client.query('listen "Nachrichten ä"');
        await queryOnce(tenant().uri, `notify "Nachrichten ä", 'one'`);
        await until("the first", () => heard.length === 1);
        await client.query(`notify "Nachrichten ä", 'two'`);
        await client.query("unlisten *");
        await queryOnce(tenant().uri, `notify "Nachrichten ä", 'three'`);
        await client.query("select 1");
        expect(heard).toEqual(["one", "two"]);
      });
    },
  );
});

describe.each(CLIENT_PORTS)("pg's pool by the $name port", (port) => {
  const tenant = useTenant(platform, "pg-pool", port);

  test("answers more than it has connections", async () => {
    const pool = new pg.Pool({ connectionString: tenant().uri, max: 4 });
    try {
      const asked = Array.from({ length: 100 }, (_, at) =>
        pool.query<{ n: number }>("select $1::int as n", [at]),
      );
      const answers = (await Promise.all(asked)).map(({ rows }) => rows[0]?.n);
      expect(answers).toEqual(Array.from({ length: 100 }, (_, at) => at));
      expect(pool.totalCount).toBe(4);
    } finally {
      await pool.end();
    }
  });

  test("replaces a connection whose session is ended while it rests", async () => {
    const pool = new pg.Pool({ connectionString: tenant().uri, max: 1 });
    const errors: (string | undefined)[] = [];
    pool.on("error", (error) => errors.push((error as pg.DatabaseError).code));
    try {
      const { rows } = await pool.query("select pg_backend_pid() as pid");
      const end = `select pg_terminate_backend(${rows[0].pid})`;
      // Behind a pool it may be who asks that is ended.
      await queryOnce(tenant().uri, end).catch((error: pg.DatabaseError) => {
        expect(error.code).toBe("57P01");
      });
      if (port.keepsSession) {
        await until("the pool to hear of it", () => errors.length > 0);
        expect(errors).toEqual(["57P01"]);
      }
      expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    } finally {
      await pool.end();
    }
  });

  test("ends a query whose session is ended, with the reason", async () => {
    const pool = new pg.Pool({ connectionString: tenant().uri, max: 2 });
    pool.on("error", () => undefined);
    try {
      const asked = pool.query("select pg_sleep(60)").catch((error: pg.DatabaseError) => error);
      const end = `select pg_terminate_backend(pid) from pg_stat_activity
        where query like 'select pg_sleep(60)%' and state = 'active'`;
      await until("the query to be ended", async () => (await pool.query(end)).rowCount === 1);
      expect(await asked).toMatchObject({ code: "57P01" });
      expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    } finally {
      await pool.end();
    }
  });
});
