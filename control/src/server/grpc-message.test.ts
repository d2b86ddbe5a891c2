import { expect, test } from "vitest";
import { plainSentence } from "./grpc-message.ts";

test("a sentence of printable ASCII stays as it is but for its percent signs", () => {
  const sentence = "1 host: 50% full, a/b? x=y&z+1 $2 #3 @4; done.";
  const escaped = plainSentence(encodeURIComponent(sentence));
  expect(decodeURI(escaped)).toBe(sentence);
  expect(decodeURIComponent(escaped)).toBe(sentence);
});

test("a sentence in other letters is read by both ways of decoding", () => {
  const escaped = plainSentence(encodeURIComponent("Straße: ünbekannt %3A"));
  expect(decodeURI(escaped)).toBe("Straße: ünbekannt %3A");
});
