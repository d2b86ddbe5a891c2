import type { IncidentCause } from "@aerodb/model";
import { RouteSchema, RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { ProbeOutcome } from "./probes.ts";
import { type Found, unreachedOf } from "./unreached.ts";

const NOTHING: Found = {
  evidence: {
    ...{ answered: new Set(), unanswered: new Map() },
    ...{ letIn: new Set(), failing: new Set() },
  },
  ...{ probed: new Map(), busy: new Set() },
};

interface Case {
  readonly answered?: boolean;
  readonly unanswered?: IncidentCause;
  readonly probed?: ProbeOutcome;
  readonly busy?: readonly string[];
  readonly letIn?: readonly string[];
  readonly failing?: readonly string[];
  readonly states?: Readonly<Record<string, RouteState>>;
  readonly moved?: string;
}

/** Of the tenants a and b, who share an instance. */
function unreached(found: Case) {
  const { evidence } = NOTHING;
  const unreachedByCause = unreachedOf(
    new Map([["ins_1", ["a", "b"]]]),
    (tenantId) =>
      create(RouteSchema, {
        tenantId,
        instanceId: found.moved === tenantId ? "ins_2" : "ins_1",
        state: found.states?.[tenantId] ?? RouteState.ACTIVE,
      }),
    {
      evidence: {
        answered: found.answered === true ? new Set(["ins_1"]) : evidence.answered,
        unanswered: new Map(found.unanswered ? [["ins_1", found.unanswered]] : []),
        letIn: new Set(found.letIn),
        failing: new Set(found.failing),
      },
      probed: new Map(found.probed ? [["ins_1", found.probed]] : []),
      busy: new Set(found.busy),
    },
  );
  return Object.fromEntries(unreachedByCause);
}

test.for<[what: string, found: Case, expected: Readonly<Record<string, readonly string[]>>]>([
  ["a probe was answered", { probed: "answered" }, {}],
  ["a client was answered", { answered: true }, {}],
  ["a neighbour's transactions ended", { busy: ["b"], probed: "no_answer" }, {}],
  ["some came in vain, and the server was back", { unanswered: "busy", probed: "answered" }, {}],
  ["a probe was not answered", { probed: "no_answer" }, { no_answer: ["a", "b"] }],
  ["a client waited in vain", { unanswered: "busy" }, { busy: ["a", "b"] }],
  ["the server is parked", { probed: "restart", unanswered: "starting" }, { restart: ["a", "b"] }],
  ["nobody had the time to ask", {}, { not_measured: ["a", "b"] }],
  ["one's logins fail", { answered: true, failing: ["a"] }, { failing: ["a"] }],
  ["one's logins failed at first", { answered: true, failing: ["a"], letIn: ["a"] }, {}],
  ["one moved", { probed: "starting", moved: "b" }, { starting: ["a"] }],
])("%s", ([_, found, expected]) => expect(unreached(found)).toEqual(expected));

test("who is suspended or goes is in no outage, and who is in quarantine is", () => {
  const { SUSPENDED, DELETING, QUARANTINED } = RouteState;
  const states = { a: SUSPENDED, b: QUARANTINED };
  expect(unreached({ probed: "no_answer", states })).toEqual({ quarantine: ["b"] });
  expect(unreached({ probed: "answered", states: { a: DELETING, b: QUARANTINED } })).toEqual({
    quarantine: ["b"],
  });
});
