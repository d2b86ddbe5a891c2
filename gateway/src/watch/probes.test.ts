import { monotonicMs, sleep } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { probe } from "./probes.ts";

const SPAN_MS = 400;
const TARGETS = Array.from({ length: 300 }, (_, at) => ({ instanceId: `ins_${at}`, role: "r" }));

/** Probes for one span; `says` is what an instance answers when it is asked for the nth time. */
async function probed(says: (instanceId: string, time: number) => string | undefined, parked = "") {
  const asked = new Map<string, number>();
  const open = new AbortController().signal;
  let [atOnce, most] = [0, 0];
  const ending = new AbortController();
  const probing = probe(
    TARGETS,
    {
      reach: { hasAnswered: (instanceId) => instanceId === "ins_7" },
      parking: { of: (instanceId) => (instanceId === parked ? open : undefined) },
      spanMs: SPAN_MS,
      async ask({ instanceId }) {
        const time = (asked.get(instanceId) ?? 0) + 1;
        asked.set(instanceId, time);
        atOnce += 1;
        most = Math.max(most, atOnce);
        await sleep(5);
        atOnce -= 1;
        return says(instanceId, time);
      },
    },
    { startedMs: monotonicMs(), signal: ending.signal },
  );
  const outcomes = await probing;
  return { outcomes, asked, most };
}

test("each instance is asked once, a bounded number at once, and not one that clients reached", async () => {
  const { outcomes, asked, most } = await probed(() => undefined);
  expect(new Set(outcomes.values())).toEqual(new Set(["answered"]));
  expect(outcomes.size).toBe(TARGETS.length);
  expect(asked.size).toBe(TARGETS.length - 1);
  expect(new Set(asked.values())).toEqual(new Set([1]));
  expect(most).toBeLessThanOrEqual(128);
});

test("who does not answer is asked again, and who is parked is not asked", async () => {
  const dead = "connect ECONNREFUSED";
  const { outcomes, asked } = await probed((instanceId, time) => {
    if (instanceId === "ins_1") return dead;
    return instanceId === "ins_2" && time === 1 ? "the database system is starting up" : undefined;
  }, "ins_3");
  expect(asked.get("ins_1")).toBe(2);
  expect(outcomes.get("ins_1")).toBe("no_answer");
  expect(outcomes.get("ins_2")).toBe("answered");
  expect(outcomes.get("ins_3")).toBe("restart");
  expect(asked.has("ins_3")).toBe(false);
});

test("what has not answered when the span is over has no outcome", async () => {
  const ending = new AbortController();
  const probing = probe(
    TARGETS.slice(0, 1),
    {
      reach: { hasAnswered: () => false },
      parking: { of: () => undefined },
      spanMs: 40,
      ask: async (_, signal) => {
        await sleep(60_000, signal);
        return undefined;
      },
    },
    { startedMs: monotonicMs(), signal: ending.signal },
  );
  await sleep(40);
  ending.abort();
  expect((await probing).size).toBe(0);
});
