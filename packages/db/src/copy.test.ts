import { startThrowawayPostgres, type ThrowawayPostgres } from "@aerodb/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CopyTarget, encodeCopy } from "./copy.ts";
import { type Database, openDatabase } from "./database.ts";
import { sql } from "./sql.ts";

const TARGET: CopyTarget = {
  table: "rows",
  columns: { number: "bigint", said: "text", at: "timestamptz" },
};

let server: ThrowawayPostgres;
let database: Database;

beforeAll(async () => {
  server = await startThrowawayPostgres();
  const url = server.url("postgres");
  database = openDatabase({ url, applicationName: "test", maxConnections: 2 });
  await database.query(sql`create table rows (number bigint, said text, at timestamptz)`);
});
afterAll(async () => {
  await database.close();
  await server.close();
});

/** Postgres keeps no text with a zero, and nothing that is no Unicode. */
const text = fc.string({ unit: "binary", maxLength: 100 }).map((each) => each.replaceAll("\0", ""));
const row = fc.tuple(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.oneof(text, fc.constant("ü".repeat(50_000))),
  fc.date({ min: new Date("0100-01-01"), max: new Date("9999-01-01"), noInvalidDate: true }),
);

test("what is copied is what comes back, of whatever size and time", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (rows) => {
      await database.query(sql`truncate rows`);
      await database.transaction((db) => db.copy(TARGET, rows));
      const found = await database.query<{ number: bigint; said: string; at: Date }>(sql`
        select number, said, at from rows`);
      expect(found.map(({ number, said, at }) => [number, said, at])).toEqual(rows);
    }),
    { numRuns: 40 },
  );
});

test("a transaction that fails later keeps none of it", async () => {
  await database.query(sql`truncate rows`);
  const failing = database.transaction(async (db) => {
    await db.copy(TARGET, [[1n, "a", new Date(0)]]);
    throw new Error("later");
  });
  await expect(failing).rejects.toThrow("later");
  expect(await database.query(sql`select from rows`)).toEqual([]);
});

test.for<[why: string, row: readonly unknown[]]>([
  ["a number for a bigint", [1, "a", new Date(0)]],
  ["a text for a time", [1n, "a", "yesterday"]],
  ["one value too few", [1n, "a"]],
])("a row of other types than its columns is refused: %s", ([, wrong]) => {
  expect(() => encodeCopy(TARGET, [wrong as never])).toThrow(TypeError);
});
