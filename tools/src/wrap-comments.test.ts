import { expect, test } from "vitest";
import { wrapComments } from "./wrap-comments.ts";

const WORDS = "word ".repeat(19).trim();

test("an overlong comment is broken and flows into the rest of its paragraph only", () => {
  const lines = [` * ${WORDS} one two`, " * and more.", " *", " * Another paragraph."];

  expect(wrapComments(lines)).toEqual([
    ` * ${WORDS}`,
    " * one two and more.",
    " *",
    " * Another paragraph.",
  ]);
});

test("a comment of one line becomes a block", () => {
  expect(wrapComments([`  /** ${WORDS} one two. */`, "  act();"])).toEqual([
    "  /**",
    `   * ${WORDS}`,
    "   * one two.",
    "   */",
    "  act();",
  ]);
});

test("code, comments behind code and short comments stay as they are", () => {
  const lines = [
    `act("${WORDS} one two three");`,
    `act(); // ${WORDS} one two three`,
    "// Short.",
    "// Also short.",
  ];

  expect(wrapComments(lines)).toEqual(lines);
});
