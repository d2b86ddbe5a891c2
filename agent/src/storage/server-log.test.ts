import { appendFile, mkdtemp, open, readdir, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readLog, rotateLog } from "./server-log.ts";

let directory: string;
let log: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "server-log-"));
  log = join(directory, "postgres.log");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function readOn(cursor: string, bytes = 1_000): Promise<readonly [string, string]> {
  const { text, cursor: next } = await readLog(log, { cursor, bytes });
  return [text, next];
}

test("without a cursor the last whole lines are read, then what comes after them", async () => {
  await appendFile(log, "one\ntwo\nthree\n");
  const [end, cursor] = await readOn("", 9);
  expect(end).toBe("three\n");
  expect(await readOn(cursor)).toEqual(["", cursor]);
  await appendFile(log, "four\nfi");
  const [more, next] = await readOn(cursor);
  expect(more).toBe("four\n");
  await appendFile(log, "ve\n");
  expect((await readOn(next))[0]).toBe("five\n");
});

test("a log that is rotated while it is written and read loses no line", async () => {
  const writer = await open(log, "a");
  let cursor = "1:0";
  let said = "";
  for (let line = 0; line < 200; line += 1) {
    await writer.write(`line ${line}\n`);
    if (line % 40 === 39) await rotateLog(log, 100);
    if (line % 30 === 0) {
      const [text, next] = await readOn(cursor, 10_000);
      said += text;
      cursor = next;
    }
  }
  await writer.close();
  said += (await readOn(cursor, 10_000))[0];
  expect(said).toBe(Array.from({ length: 200 }, (_, line) => `line ${line}\n`).join(""));
  expect((await stat(log)).size).toBeLessThan(1_000);
});

test("three copies are kept, and a cursor into what is gone goes on with the oldest", async () => {
  for (let round = 1; round <= 6; round += 1) {
    await appendFile(log, `round ${round}\n`);
    expect(await rotateLog(log, 1)).toBe(true);
  }
  expect((await readdir(directory)).toSorted()).toEqual([
    "postgres.log",
    "postgres.log.4",
    "postgres.log.5",
    "postgres.log.6",
  ]);
  expect((await readOn("1:3"))[0]).toBe("round 4\nround 5\nround 6\n");
  expect(await rotateLog(log, 1)).toBe(false);
});

test("cursors that nobody gave out and logs that were cut are read from a beginning", async () => {
  await appendFile(log, "first\n");
  for (const cursor of ["1:999", "7:0", "1:0"]) {
    expect((await readOn(cursor))[0]).toBe("first\n");
  }
  await truncate(log);
  expect(await readOn("1:6")).toEqual(["", "1:0"]);
  for (const cursor of ["../../etc/passwd:0", "1:-5", "nonsense"]) {
    expect((await readOn(cursor))[0]).toBe("");
  }
});

test("a line that is too long is cut, and goes on where it was cut", async () => {
  await appendFile(log, `${"x".repeat(25)}\nshort\n`);
  const [one, afterOne] = await readOn("1:0", 10);
  const [two, afterTwo] = await readOn(afterOne, 10);
  const [three, afterThree] = await readOn(afterTwo, 10);
  expect([one, two, three]).toEqual(["x".repeat(10), "x".repeat(10), "xxxxx\n"]);
  expect((await readOn(afterThree, 10))[0]).toBe("short\n");
});

test("bytes that are no text are replaced, and a log that is not there is empty", async () => {
  expect(await readOn("")).toEqual(["", "1:0"]);
  await appendFile(log, Buffer.from([0x61, 0, 0xff, 0x1b, 0x62, 10]));
  expect((await readOn("1:0"))[0]).toBe("a\ufffd\ufffd\ufffdb\n");
});
