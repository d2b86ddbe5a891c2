import { encodeMessage } from "@aerodb/postgres";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeQuery, SYNC, TERMINATE } from "../wire/messages.ts";
import { Refused } from "./client-messages.ts";
import { Unheard } from "./unheard.ts";

const BIND = encodeMessage("B", Buffer.alloc(8));
const PARSE = encodeMessage("P", Buffer.from("\0select 1\0\0\0"));

function heard(...chunks: Buffer[]): Unheard {
  const unheard = new Unheard();
  for (const chunk of chunks) unheard.push(chunk);
  return unheard;
}

function restOf(unheard: Unheard): Buffer {
  return Buffer.concat([...unheard.take()]);
}

test("a message asks for a server once it is whole, however it comes", () => {
  const query = encodeQuery("select 1");
  const unheard = new Unheard();
  for (const [at, byte] of query.entries()) {
    expect(unheard.asks).toBe(false);
    unheard.push(Buffer.of(byte));
    expect(at === query.length - 1).toBe(unheard.asks);
  }
  expect(restOf(unheard)).toEqual(query);
  expect(unheard.asks).toBe(false);
});

test("of a long query its beginning is enough, of a statement all is needed", () => {
  const query = encodeQuery("x".repeat(100_000));
  expect(heard(query.subarray(0, 8_191)).asks).toBe(false);
  expect(heard(query.subarray(0, 8_192)).asks).toBe(true);
  const parse = encodeMessage("P", Buffer.alloc(100_000));
  expect(heard(parse.subarray(0, -1)).asks).toBe(false);
  expect(heard(parse).asks).toBe(true);
  const head = Buffer.from("P\x01\0\0\x01", "latin1");
  expect(() => heard(head).asks).toThrow(Refused);
});

test.each(["\xff\xff\xff\xff", "\x40\0\0\0", "\0\0\0\x03"])(
  "a length that no message has is refused at once, and where messages are dropped",
  (length) => {
    for (const type of ["Q", "P", "d"]) {
      const head = Buffer.from(`${type}${length}`, "latin1");
      expect(() => heard(head).asks).toThrow("invalid message length");
      const unheard = heard(head);
      unheard.startDropping();
      expect(() => unheard.dropped()).toThrow("invalid message length");
    }
  },
);

test("what is refused is dropped up to where a server would listen again", () => {
  const query = encodeQuery("select 1");
  const batch = Buffer.concat([PARSE, BIND, query, SYNC]);
  const next = Buffer.concat([encodeQuery("select 2"), SYNC]);
  fc.assert(
    fc.property(
      fc.constantFrom(query, batch),
      fc.array(fc.nat({ max: 80 }), { maxLength: 6 }),
      fc.nat({ max: 30 }),
      (refused, cuts, there) => {
        const all = Buffer.concat([refused, next]);
        const unheard = heard(all.subarray(0, there));
        unheard.startDropping();
        let done = unheard.dropped();
        let at = there;
        for (const cut of [...cuts.toSorted((one, other) => one - other), all.length]) {
          if (cut <= at) continue;
          unheard.push(all.subarray(at, cut));
          at = cut;
          if (!done) done = unheard.dropped();
        }
        expect(done).toBe(true);
        expect(restOf(unheard)).toEqual(next);
      },
    ),
  );
});

test("a goodbye ends what is dropped", () => {
  const unheard = heard(PARSE, TERMINATE);
  unheard.startDropping();
  expect(unheard.dropped()).toBe(true);
  expect(unheard.saysGoodbye).toBe(true);
});
