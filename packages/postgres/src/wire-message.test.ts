import { Fault } from "@aerodb/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MessageReader } from "./message-reader.ts";
import {
  decodeBackendKeyData,
  decodeReport,
  decodeSaslInitialResponse,
  encodeAuthentication,
  encodeAuthenticationSasl,
  encodeBackendKeyData,
  encodeErrorResponse,
  encodeMessage,
  encodeNoticeResponse,
} from "./wire-message.ts";

test("messages come out of a stream as they went in, however it was cut", () => {
  const message = fc.record({ type: fc.constantFrom("p", "R", "Z"), payload: fc.uint8Array() });
  fc.assert(
    fc.property(fc.array(message), fc.uint8Array({ maxLength: 3 }), fc.nat(), (sent, more, cut) => {
      const stream = Buffer.concat([
        ...sent.map(({ type, payload }) => encodeMessage(type, payload)),
        more,
      ]);
      const reader = new MessageReader();
      const at = stream.length === 0 ? 0 : cut % stream.length;
      const got = [];
      for (const chunk of [stream.subarray(0, at), stream.subarray(at)]) {
        reader.push(chunk);
        for (let next = reader.next(); next !== undefined; next = reader.next()) got.push(next);
      }
      expect(got.map(({ type, payload }) => ({ type, payload: Uint8Array.from(payload) }))).toEqual(
        sent.map(({ type, payload }) => ({ type, payload: Uint8Array.from(payload) })),
      );
      expect(reader.rest()).toEqual(Buffer.from(more));
    }),
  );
});

test("an impossible length is a fault, before anything is kept for it", () => {
  for (const length of ["00000003", "7fffffff", "00000000"]) {
    const reader = new MessageReader();
    reader.push(Buffer.from(`70${length}`, "hex"));
    expect(() => reader.next()).toThrow(Fault);
  }
});

test("an error reads back by its letters, and a NUL cannot end a field early", () => {
  const report = { severity: "FATAL", sqlState: "28P01", message: "no\0Hdo", hint: "so" } as const;
  const bytes = encodeErrorResponse(report);
  expect(bytes.toString("latin1", 0, 1)).toBe("E");
  expect(Object.fromEntries(decodeReport(bytes.subarray(5)))).toEqual({
    S: "FATAL",
    V: "FATAL",
    C: "28P01",
    M: "noHdo",
    H: "so",
  });
  expect(encodeNoticeResponse(report).subarray(1)).toEqual(bytes.subarray(1));
});

test("authentication messages have the bytes that Postgres sends", () => {
  expect(encodeAuthenticationSasl(["SCRAM-SHA-256"]).toString("latin1")).toBe(
    "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
  );
  expect(encodeAuthentication("saslContinue", Buffer.from("r=1")).toString("latin1")).toBe(
    "R\0\0\0\x0b\0\0\0\x0br=1",
  );
});

test("the client's first SASL message is read, and refused when its lengths do not fit", () => {
  const payload = Buffer.from("SCRAM-SHA-256\0\0\0\0\x03n,,", "latin1");
  const reading = decodeSaslInitialResponse(payload);
  expect(reading).toEqual({ mechanism: "SCRAM-SHA-256", data: Buffer.from("n,,") });
  expect(decodeSaslInitialResponse(payload.subarray(0, -1))).toBeUndefined();
  expect(decodeSaslInitialResponse(Buffer.from("SCRAM"))).toBeUndefined();
});

test("a backend's key reads back in both lengths", () => {
  for (const length of [4, 32]) {
    const key = { processId: 99, secret: Buffer.alloc(length, 1) };
    expect(decodeBackendKeyData(encodeBackendKeyData(key).subarray(5))).toEqual(key);
  }
  expect(decodeBackendKeyData(Buffer.alloc(4))).toBeUndefined();
});
