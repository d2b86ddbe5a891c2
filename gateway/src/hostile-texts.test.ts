/**
 * Texts that a tenant has chosen are looked at on the one thread that all tenants share. An
 * expression that can take a text in many ways does not come back: then this runs out of time.
 */
import { runInNewContext } from "node:vm";
import { encodeMessage, parseSessionMemory } from "@aerodb/postgres";
import { expect, test } from "vitest";
import { deallocatedIn } from "./pool/client-messages.ts";
import { putBackBy } from "./pool/client-settings.ts";
import { effectsOf } from "./pool/effects.ts";
import { Asked } from "./wire/asked.ts";
import { Frames } from "./wire/frames.ts";
import { encodeQuery } from "./wire/messages.ts";

const PIECES = [
  ...["/**/", "/* ", "*/", "--\n", " ", "\t\n", "set ", "set session ", "session ", 'set "', '"'],
  ...["''", "'", ",", "set_config(", "set_config('a',", "true ", "default ", "update ", "(", ")"],
  ...["deallocate ", 'u&"', "do ", "a", ".", ";", "prepare ", "reset "],
];
const MOST_BYTES = 60_000;

/** Of two pieces each: one at the front, one that goes on and on, and an end that fits nothing. */
const TEXTS = PIECES.flatMap((first) =>
  PIECES.map((next) => `${first}${next.repeat(Math.floor(MOST_BYTES / next.length))}!`),
);

function keepsUnseen(sql: string): boolean {
  const asked = new Asked({ pass: () => undefined, goodbye: () => undefined });
  new Frames(asked).push(encodeQuery(sql));
  return asked.keepsUnseen;
}

function lookAt(text: string): void {
  keepsUnseen(text);
  effectsOf(Buffer.from(text));
  putBackBy(text, new Map([["timezone", "UTC"]]));
  deallocatedIn(encodeMessage("Q", Buffer.from(`${text.slice(0, 8_000)}\0`)), 5);
  const statements = [["name", text, true, []]];
  const kept = { settings: [], statements, channels: [], unmovable: [] };
  parseSessionMemory(["0", JSON.stringify(kept)]);
}

test("no text keeps the gateway busy", () => {
  // What does not come back leaves no timer a turn; the engine itself stops this.
  const look = () => TEXTS.forEach(lookAt);
  runInNewContext("look()", { look }, { timeout: 30_000 });
});

test.each([
  ["set app.x = 1", true],
  ["select 1; SET SESSION \"app\" . x to '1'", true],
  ["set /* a /* b */ */ app.x = 1", true],
  ["set app/* */.x = 1", true],
  ["set session -- a\n app.x = 1", true],
  ["select set_config($1, $2, false)", true],
  ["set work_mem = '3MB'", false],
  ["update t set a = 1 /* from a.b */", false],
  ["select 'reset' as offset", false],
])("%s sets what nobody lists: %s", (sql, expected) => {
  expect(keepsUnseen(sql)).toBe(expected);
});
