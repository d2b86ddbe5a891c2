/** Rows and COPY in parts: pg-cursor, pg-query-stream and pg-copy-streams. */
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import Cursor from "pg-cursor";
import QueryStream from "pg-query-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { usePlatform } from "../../platform.ts";
import { connect } from "../../platform-client.ts";
import { CLIENT_PORTS, useTenant } from "./client-ports.ts";

const platform = usePlatform();
const ROWS = 100_000;

/** Counts bytes and throws them away. */
class Counter extends Writable {
  bytes = 0;
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytes += chunk.length;
    done();
  }
}

describe.each(CLIENT_PORTS)("in parts, by the $name port", (port) => {
  const tenant = useTenant(platform, "pg-streams", port);
  let client: pg.Client;
  beforeAll(async () => {
    client = await connect(tenant().uri);
    await client.query("create table numbers (n int primary key, word text)");
  });
  afterAll(() => client?.end());

  async function stillAnswers(): Promise<void> {
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  }

  test("pg-cursor reads some rows, more, and no more", async () => {
    const cursor = client.query(new Cursor("select n from generate_series(1, $1) n", [25]));
    const counts = [];
    for (let rows = await cursor.read(10); rows.length > 0; rows = await cursor.read(10)) {
      counts.push(rows.length);
    }
    expect(counts).toEqual([10, 10, 5]);
    await cursor.close();
    await stillAnswers();
  });

  test("pg-cursor is closed before its end, and fails in the middle", async () => {
    const long = client.query(new Cursor("select n from generate_series(1, 10000000) n", []));
    expect(await long.read(3)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    await long.close();
    await stillAnswers();
    const failing = client.query(new Cursor("select 10 / (5 - n) q from generate_series(1, 9) n"));
    expect(await failing.read(4)).toHaveLength(4);
    await expect(failing.read(4)).rejects.toMatchObject({ code: "22012" });
    await stillAnswers();
  });

  test("pg-query-stream gives every row once, in order, to a slow reader", async () => {
    const options = { batchSize: 500, highWaterMark: 100 };
    const text = "select n from generate_series(1, $1) n";
    const stream = client.query(new QueryStream(text, [20_000], options));
    let last = 0;
    for await (const { n } of stream as AsyncIterable<{ n: number }>) {
      expect(n).toBe(last + 1);
      last = n;
      if (n % 5_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(last).toBe(20_000);
    await stillAnswers();
  });

  test("pg-query-stream is left in the middle", async () => {
    const stream = client.query(new QueryStream("select n from generate_series(1, 1000000) n"));
    for await (const { n } of stream as AsyncIterable<{ n: number }>) if (n === 1_000) break;
    await stillAnswers();
  });

  test("pg-copy-streams copies in, and out again", async () => {
    const lines = Readable.from(
      (function* () {
        for (let n = 0; n < ROWS; n += 1) yield Buffer.from(`${n}\tword ${n}\n`);
      })(),
    );
    await pipeline(lines, client.query(copyFrom("copy numbers from stdin")));
    const { rows } = await client.query("select count(*)::int as n from numbers");
    expect(rows).toEqual([{ n: ROWS }]);
    const counter = new Counter();
    await pipeline(client.query(copyTo("copy numbers (word) to stdout")), counter);
    const expected = Array.from({ length: ROWS }, (_, n) => `word ${n}\n`.length);
    expect(counter.bytes).toBe(expected.reduce((sum, each) => sum + each, 0));
    await stillAnswers();
  });

  test("pg-copy-streams copies binary, 50 MB of it, and what is read is what was written", async () => {
    await client.query(
      "create table wide as select repeat('w', 1000) w from generate_series(1, 50000)",
    );
    await client.query("create table wide_again (w text)");
    const second = await connect(tenant().uri);
    const out = client.query(copyTo("copy wide to stdout (format binary)"));
    await pipeline(out, second.query(copyFrom("copy wide_again from stdin (format binary)")));
    await second.end();
    const sums = "select md5(string_agg(md5(w), '')) as sum, count(*)::int as n from";
    const wide = await client.query(`${sums} wide`);
    const again = await client.query(`${sums} wide_again`);
    expect(again.rows).toEqual(wide.rows);
    expect(wide.rows[0].n).toBe(50_000);
  });

  test("a COPY that is wrong fails with its SQLSTATE, wherever the wrong row is", async () => {
    const before = await client.query("select count(*)::int as n from numbers");
    const many = Array.from({ length: 50_000 }, (_, n) => `${n + ROWS}\tword\n`);
    for (const rows of [
      ["wrong\trow\n", ...many],
      [...many, "wrong\trow\n"],
    ]) {
      const stream = client.query(copyFrom("copy numbers from stdin"));
      const copied = pipeline(Readable.from(rows), stream);
      await expect(copied).rejects.toMatchObject({ code: "22P02" });
      await stillAnswers();
    }
    expect((await client.query("select count(*)::int as n from numbers")).rows).toEqual(
      before.rows,
    );
  });

  test("a COPY that its client gives up leaves nothing, and the session goes on", async () => {
    const own = await connect(tenant().uri);
    const stream = own.query(copyFrom("copy numbers from stdin"));
    const failed = new Promise((resolve) => stream.once("error", resolve));
    stream.write(`${10 * ROWS}\tgiven up\n`);
    stream.destroy(new Error("given up"));
    await failed;
    await own.end().catch(() => undefined);
    const { rows } = await client.query("select 1 from numbers where word = 'given up'");
    expect(rows).toEqual([]);
  });
});
