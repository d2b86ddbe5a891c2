import { Fault } from "@aerodb/model";
import pg from "pg";
import { expect, test } from "vitest";
import { asFault } from "./database.ts";

function said(code: string): pg.DatabaseError {
  return Object.assign(new pg.DatabaseError("no", 2, "error"), { code });
}

function broken(code: string): Error {
  return Object.assign(new Error(`write ${code}`), { code });
}

test.for(["EPIPE", "ECONNRESET", "ENOENT"])("%s is a catalogue that does not answer", (code) => {
  expect(asFault(broken(code))).toMatchObject({ code: "UNAVAILABLE" });
});

test.for(["57P01", "57P03", "57014", "53300", "08006", "40P01", "58030"])(
  "a server that says %s cannot answer now",
  (code) => expect(asFault(said(code))).toMatchObject({ code: "UNAVAILABLE" }),
);

test.for(["23505", "42601", "22P02"])("a statement refused with %s stays as it is", (code) => {
  const error = said(code);
  expect(asFault(error)).toBe(error);
});

test("a fault stays as it is", () => {
  const fault = new Fault("TENANT_NOT_FOUND", "no");
  expect(asFault(fault)).toBe(fault);
});
