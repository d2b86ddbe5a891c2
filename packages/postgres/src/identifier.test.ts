import fc from "fast-check";
import { expect, test } from "vitest";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";

const name = fc
  .string({ unit: "grapheme", minLength: 1 })
  .filter((text) => !text.includes("\0") && Buffer.byteLength(text) <= 63);

test("a quoted identifier reads back as the name", () => {
  fc.assert(
    fc.property(name, (text) => {
      const quoted = quoteIdentifier(text);
      expect(quoted).toMatch(/^"(?:[^"]|"")+"$/u);
      expect(quoted.slice(1, -1).replaceAll('""', '"')).toBe(text);
    }),
  );
});

test("a quoted literal reads back as the value", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      fc.pre(!text.includes("\0"));
      const quoted = quoteLiteral(text);
      expect(quoted).toMatch(/^(?:'(?:[^'\\]|'')*'| E'(?:[^'\\]|''|\\\\)*')$/u);
      const inside = quoted.slice(quoted.indexOf("'") + 1, -1).replaceAll("''", "'");
      expect(quoted.includes("E'") ? inside.replaceAll("\\\\", "\\") : inside).toBe(text);
    }),
  );
});

test("what Postgres would cut short, or cannot hold, is no identifier", () => {
  expect(() => quoteIdentifier("é".repeat(32))).toThrow("64 bytes");
  expect(quoteIdentifier("é".repeat(31))).toHaveLength(33);
  expect(() => quoteIdentifier("")).toThrow("empty");
  expect(() => quoteIdentifier("a\0b")).toThrow("NUL");
  expect(() => quoteLiteral("a\0b")).toThrow("NUL");
  expect(() => quoteLiteral("\ud800")).toThrow("surrogate");
});
