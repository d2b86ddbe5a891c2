import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Spool, type SpoolBound, type SpooledMessage } from "./spool.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "spool-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Joins neighbours two by two. */
function pairwise(messages: readonly SpooledMessage[]): SpooledMessage[] {
  return messages.flatMap((message, index) => {
    if (index % 2 === 0) return index === messages.length - 1 ? [message] : [];
    const before = messages[index - 1]?.body ?? new Uint8Array();
    return [{ sequence: message.sequence, body: Buffer.concat([before, message.body]) }];
  });
}

function bodies(...texts: readonly string[]): Uint8Array[] {
  return texts.map((text) => Buffer.from(text));
}

function contents(spool: Spool): [bigint, string][] {
  return spool.after(0n, 100).map(({ sequence, body }) => [sequence, Buffer.from(body).toString()]);
}

const bound: SpoolBound = { most: 4, condense: pairwise };

test("a full spool condenses the oldest, and loses nothing of what they say", () => {
  const spool = new Spool(":memory:", { bound });
  spool.append(bodies("a", "b", "c", "d"));
  expect(spool.size).toBe(4);
  spool.append(bodies("e"));
  expect(contents(spool)).toEqual([
    [2n, "ab"],
    [3n, "c"],
    [4n, "d"],
    [5n, "e"],
  ]);
  for (const letter of "fghijkl") spool.append(bodies(letter));
  const texts = contents(spool).map(([, text]) => text);
  expect(texts.join("")).toBe("abcdefghijkl");
  expect(spool.size).toBeLessThanOrEqual(4);
});

test("what may have been sent is not condensed, by a later process neither", () => {
  const path = join(directory, "spool.db");
  const first = new Spool(path, { bound });
  first.append(bodies("a", "b", "c"));
  first.markSent(2n);
  first.close();
  const again = new Spool(path, { bound });
  for (const letter of "defg") again.append(bodies(letter));
  const found = contents(again);
  expect(found.slice(0, 2)).toEqual([
    [1n, "a"],
    [2n, "b"],
  ]);
  expect(found.map(([, text]) => text).join("")).toBe("abcdefg");
  again.close();
});

test("what cannot be condensed goes, oldest first, so that the disk is safe", () => {
  const spool = new Spool(":memory:", { bound: { most: 4, condense: (all) => all } });
  for (const letter of "abcdefgh") spool.append(bodies(letter));
  expect(contents(spool).map(([, text]) => text)).toEqual(["e", "f", "g", "h"]);
});

test("a spool that was lost begins above the numbers of the one before", () => {
  const path = join(directory, "spool.db");
  const spool = new Spool(path, { firstSequence: 1_000n });
  spool.append(bodies("a"));
  expect(contents(spool)).toEqual([[1_000n, "a"]]);
  spool.acknowledge(1_000n);
  spool.close();
  const again = new Spool(path, { firstSequence: 5_000n });
  again.append(bodies("b"));
  expect(contents(again)).toEqual([[1_001n, "b"]]);
  again.close();
});
