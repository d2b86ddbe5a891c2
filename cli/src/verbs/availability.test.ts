import { TenantAvailabilitySchema } from "@aerodb/rpc/aerodb/control/v1/availability_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { linesOf } from "./availability.ts";

const MONTH = {
  month: "2026-11",
  from: timestampFromDate(new Date("2026-11-01T00:00:00Z")),
  to: timestampFromDate(new Date("2026-11-15T12:00:00Z")),
};

test("what is known, promised and left is told, and percent are rounded down", () => {
  const found = create(TenantAvailabilitySchema, {
    ...MONTH,
    ...{ knownMinutes: 20_000, downMinutes: 0.1, plannedMinutes: 2, unknownMinutes: 30 },
    ...{ availablePercent: 99.9995, promisedPercent: 99.9 },
    ...{ errorBudgetMinutes: 43.2, errorBudgetLeftMinutes: 43.1 },
  });
  expect(linesOf(found)).toEqual([
    "2026-11: 2026-11-01 00:00:00Z to 2026-11-15 12:00:00Z",
    "available: 99.999 % of 20000 minutes",
    "down: 0.1 minutes, planned 2, unknown 30",
    "promised: 99.9 %: of 43.2 minutes that it may be down in the month, 43.1 are left",
  ]);
});

test("where nothing is known or promised, that is told", () => {
  const [, available, , promised] = linesOf(create(TenantAvailabilitySchema, MONTH));
  expect([available, promised]).toEqual([
    "available: nothing is known",
    "promised: nothing is promised",
  ]);
});
