import { expect, test } from "vitest";
import { sampleSpec } from "../sample-spec.ts";
import { backendMemoryBytes, groupLimitsOf } from "./group-limits.ts";

const MIB = 2 ** 20;

test("a small plan has processor time to connect with, and the weight of what it pays for", () => {
  const limits = groupLimitsOf(sampleSpec({ cpuMillis: 100 }));
  expect(limits).toMatchObject({ cpuQuotaMillis: 500, cpuWeightMillis: 100 });
  const large = groupLimitsOf(sampleSpec({ cpuMillis: 4_000 }));
  expect(large).toMatchObject({ cpuQuotaMillis: 8_000, cpuWeightMillis: 4_000 });
});

test("one greedy backend fails before the group's limit ends the server", () => {
  for (const memoryMiB of [64, 128, 512, 1_024, 16_384]) {
    const spec = sampleSpec({ memoryMiB });
    const { memoryBytes } = groupLimitsOf(spec);
    expect(memoryBytes).toBeGreaterThan(memoryMiB * MIB);
    const buffers = Math.max(8, Math.floor(memoryMiB / 8)) * MIB;
    expect(backendMemoryBytes(spec) + buffers + 32 * MIB).toBeLessThan(memoryBytes);
  }
});

test("processes follow from connections, unless a number is given", () => {
  expect(groupLimitsOf(sampleSpec({ maxConnections: 100 })).processes).toBe(148);
  expect(groupLimitsOf(sampleSpec({ pidsLimit: 60 })).processes).toBe(60);
});
