import { Fault } from "@aerodb/model";
import { expect, test, vi } from "vitest";
import { KeyRing } from "./key-ring.ts";

test("a key is looked up once for many calls, and again within a second", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    let scopes: string[] | undefined = ["platform:read"];
    const ring = new KeyRing(async () => scopes && { id: "key_1", scopes });
    expect(await ring.identify("secret")).toEqual({
      id: "key_1",
      scopes: [{ kind: "platform:read" }],
    });
    scopes = undefined;
    expect(await ring.identify("secret")).toBeDefined();
    vi.advanceTimersByTime(1_000);
    expect(await ring.identify("secret")).toBeUndefined();
  } finally {
    vi.useRealTimers();
  }
});

test("a catalogue that is away is asked again the next time", async () => {
  let away = true;
  const ring = new KeyRing(async () => {
    if (away) throw new Fault("UNAVAILABLE", "away");
    return { id: "key_1", scopes: [] };
  });
  await expect(ring.identify("secret")).rejects.toThrow("away");
  away = false;
  expect(await ring.identify("secret")).toEqual({ id: "key_1", scopes: [] });
});

test("an empty and an overlong key are nobody's, without a look", async () => {
  const ring = new KeyRing(() => expect.fail("was looked up"));
  expect(await ring.identify("")).toBeUndefined();
  expect(await ring.identify("x".repeat(513))).toBeUndefined();
});
