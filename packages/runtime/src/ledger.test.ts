import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Ledger, type LedgerEntry } from "./ledger.ts";
import { Spool } from "./spool.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ledger-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function entry(id: string, generation: bigint, text: string): LedgerEntry {
  return { kind: "instance", id, generation, body: Buffer.from(text) };
}

test("a ledger that is opened again holds what it was told", () => {
  const path = join(directory, "ledger.db");
  const first = new Ledger(path);
  first.takeWhole(7n, [entry("a", 3n, "one"), entry("b", 7n, "two")]);
  first.close();
  const again = new Ledger(path);
  expect(again.generation).toBe(7n);
  expect(again.entries().map(({ id }) => id)).toEqual(["a", "b"]);
});

test("a ledger is read by nobody else, also one that was made when it could be", () => {
  const path = join(directory, "ledger.db");
  const first = new Ledger(path);
  for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o644);
  const again = new Ledger(path);
  again.takeWhole(1n, [entry("a", 1n, "one")]);
  const modes = readdirSync(directory).map((name) => [name, statSync(join(directory, name)).mode]);
  const expected = ["ledger.db", "ledger.db-shm", "ledger.db-wal"];
  expect(modes).toEqual(expected.map((name) => [name, 0o100600]));
  first.close();
  again.close();
});

test("what a ledger forgot is not left in its file", () => {
  const path = join(directory, "ledger.db");
  const ledger = new Ledger(path);
  ledger.takeWhole(1n, [entry("a", 1n, "a secret"), entry("b", 1n, "another")]);
  ledger.takeWhole(2n, [entry("b", 1n, "another")]);
  ledger.forget("instance", "a");
  ledger.close();
  expect(readdirSync(directory)).toEqual(["ledger.db"]);
  expect(readFileSync(path).includes("another")).toBe(true);
  expect(readFileSync(path).includes("a secret")).toBe(false);
});

test("an older generation is refused, and nothing of it is kept", () => {
  const ledger = new Ledger(":memory:");
  ledger.takeWhole(7n, [entry("a", 7n, "new")]);
  expect(() => ledger.takeWhole(6n, [entry("a", 6n, "old")])).toThrow("older");
  expect(Buffer.from(ledger.entries()[0]?.body ?? []).toString()).toBe("new");
});

test("the same generation with other contents is refused; a repeat is accepted", () => {
  const ledger = new Ledger(":memory:");
  ledger.takeWhole(7n, [entry("a", 7n, "one")]);
  ledger.takeWhole(7n, [entry("a", 7n, "one")]);
  expect(() => ledger.takeWhole(7n, [entry("a", 7n, "two")])).toThrow("other contents");
});

test("a change that builds on a generation the ledger has not seen is refused", () => {
  const ledger = new Ledger(":memory:");
  ledger.takeWhole(7n, []);
  expect(() => ledger.takeChange(8n, 9n, [])).toThrow("generation 8");
  ledger.takeChange(7n, 9n, [entry("a", 9n, "one")]);
  expect(ledger.generation).toBe(9n);
});

test("what a whole state does not list stays until it is forgotten", () => {
  const ledger = new Ledger(":memory:");
  ledger.takeWhole(7n, [entry("a", 7n, "one")]);
  expect(ledger.takeWhole(8n, []).map(({ id }) => id)).toEqual(["a"]);
  ledger.forget("instance", "a");
  expect(ledger.entries()).toEqual([]);
});

test("a spool never uses a number twice, even when everything was acknowledged", () => {
  const path = join(directory, "spool.db");
  const spool = new Spool(path);
  spool.append([Buffer.from("a"), Buffer.from("b")]);
  spool.acknowledge(2n);
  spool.close();
  const again = new Spool(path);
  again.append([Buffer.from("c")]);
  expect(again.after(0n, 10).map(({ sequence }) => sequence)).toEqual([3n]);
});
