import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lastSentence } from "./piece-log.ts";

let directory: string;
let log: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "aerodb-log-"));
  log = join(directory, "piece.log");
});
afterEach(() => rmSync(directory, { recursive: true }));

test("the last sentence is the message of a JSON line or a line of text", () => {
  writeFileSync(log, '{"level":30,"msg":"starting"}\nPort 1 is taken.\n\n');
  expect(lastSentence(log, 0)).toBe("Port 1 is taken.");
  writeFileSync(log, 'Port 1 is taken.\n{"level":50,"msg":"no catalogue"}\n');
  expect(lastSentence(log, 0)).toBe("no catalogue");
});

test("a stack trace leads to the error it is about", () => {
  const trace = "Error: it broke\n    at main (file.ts:1:1)\n\nNode.js v26.10.0\n";
  writeFileSync(log, trace);
  expect(lastSentence(log, 0)).toBe("Error: it broke");
});

test("what an earlier process wrote is not looked at", () => {
  writeFileSync(log, "Old news.\n");
  expect(lastSentence(log, 10)).toBeUndefined();
  expect(lastSentence(join(directory, "none"), 0)).toBeUndefined();
});
