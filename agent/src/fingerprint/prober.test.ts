import { createLogger, silent } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { Prober } from "./prober.ts";

test("a probe that fails is left out, and said once per reason", async () => {
  const said: string[] = [];
  const logger = createLogger("test", "silent");
  logger.warn = ((about: { because: string }) => said.push(about.because)) as typeof logger.warn;
  const prober = new Prober({ logger, deadlineMs: 1_000 });
  const fail = (why: string) => prober.probe("it", () => Promise.reject(new Error(why)));
  expect(await fail("no such file")).toBeUndefined();
  expect(await fail("no such file")).toBeUndefined();
  expect(await prober.probe("it", async () => 1)).toBe(1);
  expect(await fail("no such file")).toBeUndefined();
  expect(await fail("not allowed")).toBeUndefined();
  expect(said).toEqual(["no such file", "no such file", "not allowed"]);
});

test("a probe that is late says what it said before, and is not begun a second time", async () => {
  const prober = new Prober({ logger: silent, deadlineMs: 20 });
  const gate = Promise.withResolvers<number>();
  let begun = 0;
  const late = () => {
    begun += 1;
    return gate.promise;
  };
  expect(await prober.probe("it", late)).toBeUndefined();
  expect(await prober.probe("it", late)).toBeUndefined();
  expect({ begun, late: prober.isLate }).toEqual({ begun: 1, late: true });
  const known = prober.untilMoreIsKnown();
  gate.resolve(7);
  await known;
  expect({ late: prober.isLate, lacks: prober.untilMoreIsKnown() }).toEqual({ late: false });
  const never = () => new Promise<number>(() => undefined);
  expect(await prober.probe("it", late)).toBe(7);
  expect(begun).toBe(1);
  expect(await prober.probe("it", never)).toBe(7);
  expect(prober.isLate).toBe(true);
  // Late again, but something is known of it.
  expect(prober.untilMoreIsKnown()).toBeUndefined();
});

test("one that hangs keeps nobody from what another found late", async () => {
  const prober = new Prober({ logger: silent, deadlineMs: 20 });
  const gate = Promise.withResolvers<number>();
  const never = () => new Promise<number>(() => undefined);
  await Promise.all([prober.probe("hangs", never), prober.probe("it", () => gate.promise)]);
  const known = prober.untilMoreIsKnown();
  gate.resolve(7);
  await known;
  expect(await prober.probe("it", never)).toBe(7);
});

test("what fails after it worked is not known any more", async () => {
  const prober = new Prober({ logger: silent, deadlineMs: 20 });
  await prober.probe("it", async () => 7);
  await prober.probe("it", () => Promise.reject(new Error("gone")));
  expect(await prober.probe("it", () => new Promise<number>(() => undefined))).toBeUndefined();
});

test("what an earlier agent found holds while a probe is late, and no longer", async () => {
  const recalled = new Map<string, unknown>([
    ["late", 1],
    ["fails", 2],
    ["it", 3],
  ]);
  const prober = new Prober({ logger: silent, deadlineMs: 20, recalled });
  const gate = Promise.withResolvers<number>();
  const late = () => gate.promise;
  expect(await prober.probe("late", late)).toBe(1);
  expect(await prober.probe("fails", () => Promise.reject(new Error("gone")))).toBeUndefined();
  expect(await prober.probe("it", async () => 4, { reuse: true })).toBe(4);
  const known = prober.untilMoreIsKnown();
  expect(known).toBeDefined();
  gate.resolve(7);
  await known;
  expect(await prober.probe("late", late, { reuse: true })).toBe(7);
  expect(prober.untilMoreIsKnown()).toBeUndefined();
});
