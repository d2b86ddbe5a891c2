import { expect, test } from "vitest";
import { judgeSpans, type WatchedSpan } from "./credible-watch.ts";

const NOW = new Date("2026-11-30T12:00:00Z");
const MINUTE_MS = 60_000;

function span(over: Partial<WatchedSpan> = {}): WatchedSpan {
  const endedAt = over.endedAt ?? NOW;
  return {
    ...{ sequence: 1n, startedAt: new Date(endedAt.getTime() - MINUTE_MS), endedAt },
    ...{ unreached: [], certificateEndsAt: undefined },
    ...over,
  };
}

function judged(...spans: readonly WatchedSpan[]) {
  return judgeSpans(spans, {
    now: NOW,
    joinedAt: new Date("2026-11-01T00:00:00Z"),
    servedSince: new Map([
      ["ten_1", new Date("2026-11-02T00:00:00Z")],
      ["ten_2", new Date("2026-12-01T00:00:00Z")],
    ]),
  });
}

test("what can be true is believed", () => {
  const unreached = [{ cause: "no_answer", tenantIds: ["ten_1"] }];
  const told = span({ unreached });
  const { startedAt, endedAt } = told;
  expect(judged(told)).toEqual({
    watched: [told],
    unreached: [{ startedAt, endedAt, cause: "no_answer", tenantId: "ten_1" }],
    refused: [],
  });
});

test.for<[because: string, over: Partial<WatchedSpan>]>([
  ["impossible_time", { startedAt: NOW }],
  ["impossible_time", { startedAt: new Date(Number.NaN) }],
  [
    "impossible_time",
    {
      startedAt: new Date("2026-11-30T23:59:30Z"),
      endedAt: new Date("2026-12-01T00:00:10Z"),
    },
  ],
  ["too_long", { startedAt: new Date(NOW.getTime() - MINUTE_MS - 1) }],
  ["too_late", { endedAt: new Date("2026-10-01T00:00:00Z") }],
  ["too_early", { endedAt: new Date("2026-11-30T12:06:00Z") }],
  ["not_there", { endedAt: new Date("2026-10-31T12:00:00Z") }],
])("a span of an %s is refused, with all that it tells", ([because, over]) => {
  const tells = { unreached: [{ cause: "no_answer", tenantIds: ["ten_1"] }] };
  const spans = [span({ ...tells, ...over })];
  const now = because === "impossible_time" ? new Date("2026-12-01T00:00:00Z") : NOW;
  const found = judgeSpans(spans, {
    now,
    joinedAt: new Date("2026-11-01T00:00:00Z"),
    servedSince: new Map([["ten_1", new Date(0)]]),
  });
  expect(found).toMatchObject({ watched: [], unreached: [], refused: [{ because }] });
});

test("of a tenant that does not serve, or for a cause that nobody knows, nothing is believed", () => {
  const { watched, unreached, refused } = judged(
    span({
      unreached: [
        { cause: "no_answer", tenantIds: ["ten_2", "ten_3", "ten_1"] },
        { cause: "host_silent", tenantIds: ["ten_1"] },
        { cause: "constructor", tenantIds: ["ten_1"] },
      ],
    }),
  );
  expect(watched).toHaveLength(1);
  expect(unreached).toMatchObject([{ tenantId: "ten_1", cause: "no_answer" }]);
  expect(refused.map(({ because, tenantId }) => [because, tenantId])).toEqual([
    ["foreign_tenant", "ten_2"],
    ["foreign_tenant", "ten_3"],
    ["unknown_cause", "ten_1"],
    ["unknown_cause", "ten_1"],
  ]);
});
