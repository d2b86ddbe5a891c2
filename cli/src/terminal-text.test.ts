import { expect, test } from "vitest";
import { lastLines, terminalText } from "./terminal-text.ts";

test("what would act on a terminal is shown as an escape", () => {
  const text = "a\tb\n\u001b[2Jc\r\u0007\u009b\u007f\u202e é 日本";
  expect(terminalText(text)).toBe("a\tb\n\\x1b[2Jc\\x0d\\x07\\x9b\\x7f\\u202e é 日本");
});

test("the last lines are whole, however many there are", () => {
  expect(lastLines("a\nb\nc\n", 2)).toBe("b\nc\n");
  expect(lastLines("a\n", 200)).toBe("a\n");
  expect(lastLines("", 200)).toBe("");
  expect(lastLines("a\nb\n", 0)).toBe("");
});
