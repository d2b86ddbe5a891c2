import type { IncidentCause } from "@aerodb/model";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AvailabilityInputs,
  availabilityOf,
  common,
  explainIncident,
  type Times,
  united,
  without,
} from "./availability.ts";

const MINUTE = 60_000;
const MONTH = { from: 0, to: 30 * 1_440 * MINUTE };

/** Minutes from the beginning of the month. */
function minutes(...times: readonly (readonly [from: number, to: number])[]): Times {
  return times.map(([from, to]) => [from * MINUTE, to * MINUTE]);
}

function found(over: Partial<AvailabilityInputs>) {
  return availabilityOf({
    month: MONTH,
    asOf: 1_000 * MINUTE,
    terms: [{ from: -5 * MINUTE, to: undefined, availableMillionths: 999_000 }],
    watched: minutes([0, 1_000]),
    unreached: new Map(),
    ...over,
  });
}

test("what nobody tells of was reached, where somebody watched", () => {
  expect(found({})).toMatchObject({
    ...{ from: 0, to: 1_000 * MINUTE, knownMinutes: 1_000, downMinutes: 0, unknownMinutes: 0 },
    availablePercent: 100,
    promise: { percent: 99.9, budgetMinutes: 43.2, leftMinutes: 43.2 },
    incidents: [],
  });
});

test("minutes one after the other are one incident, whatever stood in the way", () => {
  const unreached = new Map<IncidentCause, Times>([
    ["no_answer", minutes([10, 12], [40, 41])],
    ["starting", minutes([12, 13])],
  ]);
  const { incidents, ...rest } = found({ unreached });
  expect(rest).toMatchObject({ downMinutes: 4, availablePercent: 99.6 });
  expect(rest.promise?.leftMinutes).toBeCloseTo(39.2);
  expect(incidents).toMatchObject([
    { from: 40 * MINUTE, to: 41 * MINUTE, minutes: 1, causes: ["no_answer"] },
    { from: 10 * MINUTE, to: 13 * MINUTE, minutes: 3, causes: ["no_answer", "starting"] },
  ]);
  expect(explainIncident(incidents[1] ?? expect.fail())).toBe(
    "Nobody got through: the server did not answer, then " +
      "the server was starting, stopping or recovering.",
  );
});

test("what is planned is apart, and uses up nothing", () => {
  const unreached = new Map<IncidentCause, Times>([
    ["restart", minutes([10, 13])],
    ["no_answer", minutes([12, 14])],
  ]);
  const { incidents, ...rest } = found({ unreached });
  expect(rest).toMatchObject({ plannedMinutes: 2, downMinutes: 2, knownMinutes: 1_000 });
  expect(rest.promise?.leftMinutes).toBeCloseTo(41.2);
  expect(incidents.map(({ planned, minutes: long }) => [planned, long])).toEqual([
    [false, 2],
    [true, 2],
  ]);
});

test("what nobody watched, or had the time to ask about, is unknown and counts neither way", () => {
  const unreached = new Map<IncidentCause, Times>([
    ["not_measured", minutes([100, 110])],
    ["no_answer", minutes([105, 107])],
  ]);
  const watched = minutes([0, 400], [500, 1_000]);
  expect(found({ watched, unreached })).toMatchObject({
    ...{ unknownMinutes: 108, knownMinutes: 892, downMinutes: 2 },
    availablePercent: 100 * (1 - 2 / 892),
  });
  expect(found({ watched: [] })).toMatchObject({
    ...{ unknownMinutes: 1_000, knownMinutes: 0, availablePercent: undefined },
  });
});

test("an incident goes on over minutes of which nobody knows, which do not count", () => {
  const unreached = new Map<IncidentCause, Times>([["no_answer", minutes([10, 12], [15, 16])]]);
  const watched = minutes([0, 12], [15, 1_000]);
  const { incidents, ...rest } = found({ watched, unreached });
  expect(rest).toMatchObject({ downMinutes: 3, unknownMinutes: 3 });
  expect(incidents).toMatchObject([{ from: 10 * MINUTE, to: 16 * MINUTE, minutes: 3 }]);
  const reachedBetween = found({ watched: minutes([0, 14], [15, 1_000]), unreached });
  expect(reachedBetween.incidents).toHaveLength(2);
});

test("what was down in the last minute that is known goes on", () => {
  const unreached = new Map<IncidentCause, Times>([["no_answer", minutes([998, 1_000])]]);
  expect(found({ unreached }).incidents).toMatchObject([{ to: undefined, minutes: 2 }]);
  const over = found({ unreached, asOf: 1_001 * MINUTE, watched: minutes([0, 1_001]) });
  expect(over.incidents).toMatchObject([{ to: 1_000 * MINUTE, minutes: 2 }]);
});

test("only the time counts for which a tenant was there, and each plan's promise for its own", () => {
  const day = 1_440 * MINUTE;
  const terms = [
    { from: 10 * day, to: 20 * day, availableMillionths: undefined },
    { from: 20 * day, to: 25 * day, availableMillionths: 999_000 },
    { from: 25 * day, to: undefined, availableMillionths: 999_500 },
  ];
  const unreached = new Map<IncidentCause, Times>([
    // Before it was there, while nothing was promised, and since.
    ["no_answer", minutes([1, 5], [15 * 1_440, 15 * 1_440 + 60], [21 * 1_440, 21 * 1_440 + 3])],
  ]);
  const watched = minutes([0, 30 * 1_440]);
  const whole = found({ terms, unreached, watched, asOf: MONTH.to });
  expect(whole).toMatchObject({ from: 10 * day, to: MONTH.to, downMinutes: 63 });
  expect(whole.promise?.percent).toBe(99.95);
  expect(whole.promise?.budgetMinutes).toBeCloseTo(7.2 + 3.6);
  expect(whole.promise?.leftMinutes).toBeCloseTo(7.8);
  expect(found({ terms: [] })).toMatchObject({ knownMinutes: 0, promise: undefined });
});

describe("sets of times", () => {
  const times = fc
    .array(fc.tuple(fc.nat(40), fc.nat(40)))
    .map((pairs) => united(pairs.map(([from, to]) => [from, Math.max(from, to)] as const)));

  function members(of: Times): number[] {
    return Array.from({ length: 41 }, (_, at) => at).filter((at) =>
      of.some(([from, to]) => from <= at && at < to),
    );
  }

  test("agree with sets of minutes", () => {
    fc.assert(
      fc.property(times, times, (a, b) => {
        const inB = new Set(members(b));
        expect(members(common(a, b))).toEqual(members(a).filter((at) => inB.has(at)));
        expect(members(without(a, b))).toEqual(members(a).filter((at) => !inB.has(at)));
        const either = [...new Set([...members(a), ...inB])].toSorted((x, y) => x - y);
        expect(members(united([...a, ...b]))).toEqual(either);
      }),
    );
  });

  test("every minute that counts is known or unknown, and down, planned or reached", () => {
    fc.assert(
      fc.property(times, times, times, times, (watched, down, planned, late) => {
        const unreached = new Map<IncidentCause, Times>([
          ["no_answer", down],
          ["restart", planned],
          ["not_measured", late],
        ]);
        const whole = availabilityOf({
          ...{ month: { from: 0, to: 40 }, asOf: 40, watched, unreached },
          terms: [{ from: 3, to: 33, availableMillionths: 999_000 }],
        });
        const one = 1 / MINUTE;
        expect(whole.knownMinutes + whole.unknownMinutes).toBeCloseTo(30 * one, 12);
        const counted = members(common(down, [[3, 33]])).length * one;
        expect(whole.downMinutes).toBeCloseTo(counted, 12);
        expect(whole.downMinutes + whole.plannedMinutes).toBeLessThanOrEqual(
          whole.knownMinutes + 1e-12,
        );
      }),
    );
  });
});
