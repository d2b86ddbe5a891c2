/** What connections carried is counted whatever the clock of the machine does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { now } from "@aerodb/runtime";
import { decodeTime } from "@aerodb/wire";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Traffic } from "./traffic.ts";

const HOUR_MS = 3_600_000;
/** Far longer than the test takes. */
const SOON_MS = 60_000;
const TENANT = "ten_01jc7w4x9dep8t3w8rj0sxv5n2";
let directory: string;
let traffic: Traffic;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "traffic-"));
  traffic = new Traffic(join(directory, "usage.db"));
});

afterEach(() => {
  vi.useRealTimers();
  traffic.close();
  rmSync(directory, { recursive: true });
});

test.for([-HOUR_MS, HOUR_MS])("a clock that jumps by %d ms changes no span", (jumpMs) => {
  traffic.of(TENANT).egressBytes += 1_000;
  vi.useFakeTimers({ toFake: ["Date"], now: now().getTime() + jumpMs });
  traffic.read();
  traffic.of(TENANT).egressBytes += 500;
  traffic.read();
  const events = traffic.eventsAfter(0n, 10);
  expect(events.map(({ value }) => value)).toEqual([1_000n, 500n]);
  for (const { startedAt, endedAt } of events) {
    const [began, ended] = [startedAt, endedAt].map((time) =>
      decodeTime(time ?? expect.fail("a reading without its time")).getTime(),
    );
    const spanMs = (ended ?? 0) - (began ?? 0);
    expect(spanMs).toBeGreaterThanOrEqual(0);
    expect(spanMs).toBeLessThan(SOON_MS);
  }
});
