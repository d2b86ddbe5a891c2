import { Fault } from "@aerodb/model";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { faultFromConnectError, faultToConnectError } from "./faults.ts";

test("a fault keeps its code, its sentence and its details across the wire", () => {
  const fault = new Fault("NO_FEASIBLE_HOST", "No host is feasible.", {
    details: { hosts: [{ host: "hst_1", reason: "full" }] },
  });
  const error = faultToConnectError(fault);
  expect(error.code).toBe(Code.Unavailable);
  const back = faultFromConnectError(error);
  expect(back).toMatchObject({
    code: "NO_FEASIBLE_HOST",
    message: "No host is feasible.",
    details: { hosts: [{ host: "hst_1", reason: "full" }] },
  });
});

test("an internal error of the other side is not a fault", () => {
  expect(faultFromConnectError(new ConnectError("x", Code.Internal))).toBeUndefined();
});
