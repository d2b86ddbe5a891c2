import { expect, test } from "vitest";
import { changeText } from "./events.ts";

test.each([
  [{ after: { plan: "free" } }, "plan: free"],
  [{ before: { plan: "free" }, after: { plan: "pro" } }, "plan: free → pro"],
  [{ before: { reason: "unpaid" } }, "reason: unpaid → -"],
  [{ after: { limits: { cpu: 2 } } }, 'limits: {"cpu":2}'],
  [{}, "-"],
  [{ after: { long: "x".repeat(500) } }, `long: ${"x".repeat(114)}…`],
])("a change is told by what was and what is: %j", (event, text) => {
  expect(changeText(event)).toBe(text);
});
