import { encodeMessage } from "@aerodb/postgres";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type FrameReader, Frames, onlyTypes } from "./frames.ts";
import { HEAD_BYTES } from "./messages.ts";

const message = fc.record({
  type: fc.constantFrom("P", "D", "X", "Q"),
  payload: fc.uint8Array({ minLength: 1, maxLength: 40 }),
});
const cuts = fc.array(fc.nat({ max: 60 }), { maxLength: 20 });

/** Reads P whole and loses three bytes of it, puts something in for X, drops D, passes Q. */
class Reader implements FrameReader {
  readonly looksAt = onlyTypes([...Buffer.from("PDX")]);
  readonly mayChange = onlyTypes([...Buffer.from("X")]);
  readonly seen: Buffer[] = [];
  out = Buffer.alloc(0);

  needs(type: number, length: number): number {
    return letter(type) === "P" || letter(type) === "X" ? length : HEAD_BYTES;
  }
  frame(type: number, length: number, start: Buffer): number {
    if (letter(type) === "P") this.seen.push(Buffer.from(start));
    if (letter(type) === "X") this.pass(Buffer.from("instead"));
    return { P: 3, D: length, X: length, Q: 0 }[letter(type)] ?? 0;
  }
  pass(bytes: Buffer): void {
    this.out = Buffer.concat([this.out, bytes]);
  }
}

function letter(type: number): string {
  return String.fromCharCode(type);
}

test("however a stream is cut, what is read, dropped and put in is the same", () => {
  fc.assert(
    fc.property(fc.array(message), cuts, (messages, lengths) => {
      const frames = messages.map(({ type, payload }) => encodeMessage(type, payload));
      const reader = new Reader();
      const split = new Frames(reader);
      let rest = Buffer.concat(frames);
      for (const length of [...lengths, rest.length]) {
        const chunk = rest.subarray(0, length);
        rest = rest.subarray(length);
        if (chunk.length > 0) split.push(chunk);
      }
      expect(split.whole).toBe(true);
      expect(reader.seen).toEqual(frames.filter((each) => letter(each[0] ?? 0) === "P"));
      const expected = frames.map((each) => {
        const put = { P: each.subarray(3), D: Buffer.alloc(0), X: Buffer.from("instead") };
        return put[letter(each[0] ?? 0) as keyof typeof put] ?? each;
      });
      expect(reader.out).toEqual(Buffer.concat(expected));
    }),
  );
});

test("a frame that is not there yet is not whole, and no length is shorter than itself", () => {
  const split = new Frames(new Reader());
  split.push(Buffer.from("Q\0\0"));
  expect(split.whole).toBe(false);
  expect(() => new Frames(new Reader()).push(Buffer.from("Q\0\0\0\x03"))).toThrow("length");
  expect(() => new Frames(new Reader()).push(Buffer.from("Q\x7f\0\0\0"))).toThrow("length");
});
