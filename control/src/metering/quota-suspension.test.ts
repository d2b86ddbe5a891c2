import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  durationText,
  type ReachedQuota,
  type SuspensionCase,
  suspensionAt,
  suspensionStep,
} from "./quota-suspension.ts";

const SINCE = new Date("2026-01-10T12:00:00Z");
const HOUR_MS = 3_600_000;
const storage: ReachedQuota = {
  ...{ resource: "storage_bytes", used: 1_200n, quota: 1_000n, since: SINCE },
};
const spend: ReachedQuota = {
  ...{ resource: "spend_micro_usd_per_month", used: 40_120_000n, quota: 40_000_000n, since: SINCE },
};
const requests: ReachedQuota = { ...storage, resource: "api_requests_per_month" };

function found(over: Partial<SuspensionCase> = {}): SuspensionCase {
  const grace = { seconds: 7_200, overridden: false };
  return { reached: [storage], grace, reinstatedAt: undefined, suspended: false, ...over };
}

function hoursLater(hours: number): Date {
  return new Date(SINCE.getTime() + hours * HOUR_MS);
}

describe("a tenant that is served", () => {
  test("is suspended once it has stayed at a quota for its grace, and told what to do", () => {
    expect(suspensionStep(found(), hoursLater(1.99))).toBeUndefined();
    expect(suspensionStep(found(), hoursLater(2))).toEqual({
      kind: "suspend",
      reason:
        "Its storage quota has been used up since 2026-01-10 12:00 UTC: 1200 of 1000 bytes. It " +
        "is served again once the quota is raised. Reinstating it by hand gives it 2 hours to " +
        "free room.",
    });
  });

  test("is told of its cap when that is the cause", () => {
    expect(suspensionStep(found({ reached: [requests, spend] }), hoursLater(2))).toEqual({
      kind: "suspend",
      reason:
        "Its month has been at its spend cap since 2026-01-10 12:00 UTC: $40.12 of $40.00. It is " +
        "served again once the cap is raised or the month turns.",
    });
  });

  test("has its grace anew when it was given service back", () => {
    const again = found({ reinstatedAt: hoursLater(2) });
    expect(suspensionStep(again, hoursLater(3.9))).toBeUndefined();
    expect(suspensionStep(again, hoursLater(4))).toMatchObject({ kind: "suspend" });
  });

  test("is not suspended for requests, nor where there is no grace", () => {
    expect(suspensionStep(found({ reached: [requests] }), hoursLater(9_999))).toBeUndefined();
    const grace = { seconds: undefined, overridden: false };
    expect(suspensionStep(found({ grace }), hoursLater(9_999))).toBeUndefined();
    expect(suspensionAt(SINCE, found({ grace }))).toBeUndefined();
  });
});

describe("a tenant that a quota had suspended", () => {
  const suspended = true;

  test("stays so as long as it stays at the quota, whatever the platform's grace is now", () => {
    expect(suspensionStep(found({ suspended }), hoursLater(3))).toBeUndefined();
    const grace = { seconds: undefined, overridden: false };
    expect(suspensionStep(found({ suspended, grace }), hoursLater(3))).toBeUndefined();
  });

  test("is served again when it stays at none that suspends", () => {
    for (const reached of [[], [requests]]) {
      const step = suspensionStep(found({ suspended, reached }), hoursLater(3));
      expect(step).toEqual({ kind: "reinstate" });
    }
  });

  test("is served again when it was given a longer grace of its own", () => {
    for (const seconds of [undefined, 86_400]) {
      const grace = { seconds, overridden: true };
      const step = suspensionStep(found({ suspended, grace }), hoursLater(3));
      expect(step).toEqual({ kind: "reinstate" });
    }
  });
});

test("whatever it is told, a step is settled: none undoes another at the same time", () => {
  const resource = fc.constantFrom(
    ...(["storage_bytes", "api_requests_per_month", "spend_micro_usd_per_month"] as const),
  );
  const minutes = fc.integer({ min: 0, max: 10_000 });
  const reached = fc.record({ resource, minute: minutes }).map(({ resource: name, minute }) => {
    return { ...storage, resource: name, since: hoursLater(minute / 60) };
  });
  const grace = fc.record({
    seconds: fc.option(fc.integer({ min: 0, max: 600_000 }), { nil: undefined }),
    overridden: fc.boolean(),
  });
  const cases = fc.record({
    ...{ reached: fc.array(reached, { maxLength: 3 }), grace },
    reinstatedAt: fc.option(
      minutes.map((at) => hoursLater(at / 60)),
      { nil: undefined },
    ),
    suspended: fc.boolean(),
  });
  fc.assert(
    fc.property(cases, minutes, (each, minute) => {
      const at = hoursLater(minute / 60);
      const step = suspensionStep(each, at);
      if (step === undefined) return;
      const after =
        step.kind === "suspend"
          ? { ...each, suspended: true }
          : { ...each, suspended: false, reinstatedAt: at };
      const next = suspensionStep(after, at);
      // Only who has no grace at all is suspended again at once, by another's hand or its own.
      if (each.grace.seconds !== 0) expect(next).toBeUndefined();
    }),
  );
});

test("a duration is told in the largest unit of which it is a whole number", () => {
  const told = [1, 60, 90, 5_400, 86_400, 604_800].map(durationText);
  expect(told).toEqual(["1 second", "1 minute", "90 seconds", "90 minutes", "1 day", "7 days"]);
});
