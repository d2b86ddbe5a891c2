import { Fault, type FaultCode } from "@aerodb/model";
import { expect, test } from "vitest";
import { exitCodeOf } from "./exit-code.ts";

test.each<[FaultCode, number]>([
  ["INVALID_TENANT_NAME", 2],
  ["TENANT_NOT_FOUND", 3],
  ["TENANT_NAME_EXISTS", 4],
  ["UNAUTHENTICATED", 4],
  ["NO_FEASIBLE_HOST", 5],
  ["OPERATION_TIMED_OUT", 5],
])("%s ends with %i", (code, exitCode) => {
  expect(exitCodeOf(new Fault(code, "A sentence."))).toBe(exitCode);
});

test("what nobody named ends with 1", () => {
  expect(exitCodeOf(new Error("bug"))).toBe(1);
});
