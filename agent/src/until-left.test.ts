import type { InstanceId } from "@aerodb/model";
import { silent, sleep } from "@aerodb/runtime";
import { expect, test } from "vitest";
import type { RunningInstance } from "./drivers/driver.ts";
import { untilLeft } from "./until-left.ts";

const instance = { id: "ins_1" as InstanceId } as RunningInstance;
const stop = (restarts: boolean) => ({ kind: "stop_instance", instance, restarts }) as const;

/** Waits with what each count answers in turn, the last for ever. Returns how often it counted. */
async function counting(
  answers: readonly (() => Promise<number>)[],
  { restarts = true, signal = new AbortController().signal } = {},
): Promise<number> {
  let counted = 0;
  const countSessions = () => {
    counted += 1;
    return (answers[counted - 1] ?? answers.at(-1))?.() ?? Promise.resolve(0);
  };
  await untilLeft(stop(restarts), {
    tenants: { countSessions },
    logger: silent,
    signal,
    mostMs: 300,
  });
  return counted;
}

const inside = (sessions: number) => () => Promise.resolve(sessions);

test("a restart waits until the last session has left", async () => {
  expect(await counting([inside(2), inside(1), inside(0)])).toBe(3);
});

test("only a restart waits", async () => {
  expect(await counting([inside(2)], { restarts: false })).toBe(0);
});

test.each([
  ["sessions that stay", inside(1)],
  ["a server that hangs", () => new Promise<number>(() => undefined)],
  ["one that cannot be asked", () => Promise.reject(new Error("gone"))],
])("%s are not waited for for ever", async (_who, answer) => {
  expect(await counting([answer])).toBeGreaterThan(0);
});

test("an agent that stops waits no longer", async () => {
  const life = new AbortController();
  const waiting = counting([inside(1)], { signal: life.signal });
  await sleep(60);
  life.abort(new Error("stopping"));
  await expect(waiting).rejects.toThrow();
});
