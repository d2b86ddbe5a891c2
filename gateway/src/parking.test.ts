import type { Endpoint } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Parking } from "./parking.ts";

const MOST_MS = 1_000;
let tell: (endpoint: Endpoint) => void;
let parking: Parking;

beforeEach(() => {
  vi.useFakeTimers();
  const onEndpoint = (listener: typeof tell) => {
    tell = listener;
  };
  parking = new Parking({ onEndpoint }, MOST_MS);
});
afterEach(() => {
  parking.close();
  vi.useRealTimers();
});

function say(parked: boolean, gone = false): void {
  tell({ instanceId: "ins_1", parked, gone } as Endpoint);
}

test("who uses an instance is told once that it is parked, also who comes then", () => {
  const told: string[] = [];
  parking.join("ins_1", () => told.push("inside"));
  parking.join("ins_2", () => told.push("elsewhere"));
  parking.join("ins_1", () => told.push("left"))();
  say(true);
  say(true);
  parking.join("ins_1", () => told.push("comes"));
  expect(told).toEqual(["inside", "comes"]);
});

test.each([
  ["control says so", () => say(false)],
  ["the instance is gone", () => say(true, true)],
  ["control says nothing for too long", () => vi.advanceTimersByTime(MOST_MS)],
])("it is over when %s", (_when, end) => {
  say(true);
  const over = parking.of("ins_1");
  expect(over?.aborted).toBe(false);
  end();
  expect([over?.aborted, parking.of("ins_1")]).toEqual([true, undefined]);
});

test("control that says it again after its time, back from where it was, parks anew", () => {
  const told: AbortSignal[] = [];
  parking.join("ins_1", (over) => told.push(over));
  say(true);
  vi.advanceTimersByTime(MOST_MS);
  say(true);
  say(true);
  expect(told.map(({ aborted }) => aborted)).toEqual([true, false]);
  expect(parking.of("ins_1")).toBe(told[1]);
  vi.advanceTimersByTime(MOST_MS);
  expect(parking.of("ins_1")).toBeUndefined();
});
