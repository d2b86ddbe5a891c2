import fc from "fast-check";
import { expect, test } from "vitest";
import { readJson } from "./json-text.ts";

test("whatever JSON.stringify writes is read as JSON.parse reads it", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => {
      const reading = readJson(text);
      // Compared as text: objects here have no prototype.
      expect(reading.kind === "value" && JSON.stringify(reading.value)).toBe(
        JSON.stringify(JSON.parse(text)),
      );
    }),
  );
});

test("what JSON.parse refuses is refused", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), (text) => {
      let readable = true;
      try {
        JSON.parse(text);
      } catch {
        readable = false;
      }
      expect(readJson(text).kind).toBe(readable ? "value" : "malformed");
    }),
  );
});

test.each([
  ['{"name": acme}', 1, 10],
  ['{\n  "name": "acme",\n}', 3, 1],
  ['{"name": "acme"', 1, 16],
  ['{"name": "a", "name": "b"}', 1, 15],
  ["{} x", 1, 4],
  ["'x'", 1, 1],
  ["", 1, 1],
  ["[".repeat(1_000), 1, 66],
])("malformed JSON is refused with line and column: %s", (text, line, column) => {
  expect(readJson(text)).toMatchObject({ kind: "malformed", line, column });
});

test("a key called __proto__ is a key like any other", () => {
  const reading = readJson('{"__proto__": {"admin": true}}');
  expect(reading.kind === "value" && Object.keys(reading.value as object)).toEqual(["__proto__"]);
});
