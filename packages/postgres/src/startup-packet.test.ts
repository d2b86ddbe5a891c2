import fc from "fast-check";
import { expect, test } from "vitest";
import {
  encodeCancelRequest,
  encodeSslRequest,
  encodeStartupMessage,
  readStartupPacket,
} from "./startup-packet.ts";

const text = fc.string().map((value) => value.replaceAll("\0", ""));
const parameters = fc.dictionary(
  text.filter((name) => name !== ""),
  text,
  { noNullPrototype: true, maxKeys: 20 },
);

test("a startup message reads back, however much follows it, and not before it is all there", () => {
  fc.assert(
    fc.property(parameters, fc.constantFrom(0, 2), fc.uint8Array(), (wanted, minor, more) => {
      const bytes = encodeStartupMessage({ minor, parameters: Object.entries(wanted) });
      const reading = readStartupPacket(Buffer.concat([bytes, more]));
      expect(reading).toEqual({
        kind: "packet",
        byteLength: bytes.length,
        packet: { kind: "startup", minor, parameters: new Map(Object.entries(wanted)) },
      });
      expect(readStartupPacket(bytes.subarray(0, -1)).kind).toBe("incomplete");
    }),
  );
});

test("a cancel request carries the secret of either protocol", () => {
  for (const length of [4, 32, 256]) {
    const key = { processId: 4711, secret: Buffer.alloc(length, 7) };
    const bytes = encodeCancelRequest(key);
    expect(readStartupPacket(bytes)).toEqual({
      kind: "packet",
      byteLength: bytes.length,
      packet: { kind: "cancel_request", key },
    });
  }
  const tooLong = encodeCancelRequest({ processId: 1, secret: Buffer.alloc(257) });
  expect(readStartupPacket(tooLong)).toMatchObject({ kind: "malformed", sqlState: "08P01" });
});

test("requests for encryption are told apart", () => {
  expect(readStartupPacket(encodeSslRequest())).toMatchObject({ packet: { kind: "ssl_request" } });
  const gss = Buffer.from("0000000804d21630", "hex");
  expect(readStartupPacket(gss)).toMatchObject({ packet: { kind: "gss_request" } });
});

test.each([
  ["a length under the least", "0000000700030000", "08P01"],
  ["a length over the most", "0000271100030000", "08P01"],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n").toString("hex"), "08P01"],
  ["a TLS hello", "160301020001000001fc0303", "08P01"],
  ["protocol 2", "0000000900020000" + "00", "0A000"],
  ["parameters without an end", "0000000a00030000" + "6100", "08P01"],
  ["a name without a value", "0000000b00030000" + "610000", "08P01"],
  ["no parameters at all, not even their end", "0000000800030000", "08P01"],
])("%s is malformed", (_, hex, sqlState) => {
  expect(readStartupPacket(Buffer.from(hex, "hex"))).toMatchObject({ kind: "malformed", sqlState });
});

test("no bytes make it throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      readStartupPacket(Buffer.from(bytes));
      readStartupPacket(Buffer.concat([Buffer.from("0000002000030000", "hex"), bytes]));
    }),
  );
});
