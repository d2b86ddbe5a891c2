import { expect, test } from "vitest";
import { isLoopback, openingOf } from "./sniff.ts";

test("the first bytes tell the protocol", () => {
  const here = "127.0.0.1";
  expect(openingOf(Buffer.from([0x16, 3, 1]), "203.0.113.7")).toBe("tls");
  expect(openingOf(Buffer.from("PRI * HTTP/2.0"), here)).toBe("http2");
  expect(openingOf(Buffer.from("POST / HTTP/1.1"), here)).toBe("http1");
  expect(openingOf(Buffer.from("PUT / HTTP/1.1"), here)).toBe("http1");
  expect(openingOf(Buffer.from("P"), here)).toBeUndefined();
});

test("plaintext from elsewhere is not allowed", () => {
  expect(openingOf(Buffer.from("POST /"), "203.0.113.7")).toBe("not_allowed");
  expect(openingOf(Buffer.from("PRI"), undefined)).toBe("not_allowed");
  expect(isLoopback("::1")).toBe(true);
  expect(isLoopback("::ffff:127.0.0.1")).toBe(true);
  expect(isLoopback("::ffff:10.0.0.1")).toBe(false);
});
