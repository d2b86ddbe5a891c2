import { expect, test } from "vitest";
import { reasonsOf } from "./reasons.ts";

test("what the sentence has said is not said again", () => {
  const reason = '"include" is not for tenants to set. Allowed are: work_mem, lock_timeout.';
  const details = { refused: [{ name: "include", reason }], allowed: ["work_mem", "lock_timeout"] };
  expect(reasonsOf({ message: reason, details })).toEqual([]);
});

test("what is new in a detail is said, and all of that detail with it", () => {
  const details = { refused: [{ name: "include" }, { name: "port" }], most: 3 };
  expect(reasonsOf({ message: "include is refused.", details })).toEqual([
    'refused: [{"name":"include"},{"name":"port"}]',
    "most: 3",
  ]);
});
