import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { isMetric, METRICS, mergeReadings } from "./metric.ts";

test("two spans add what is counted, and keep the newer of what is", () => {
  const older = { cpu_seconds: 1, connections: 9, deadlocks: 2 };
  const newer = { cpu_seconds: 0.5, connections: 3 };
  expect(mergeReadings(older, newer)).toEqual({ cpu_seconds: 1.5, connections: 3, deadlocks: 2 });
});

test("what objects have anyway is no metric", () => {
  expect(["cpu_seconds", "toString", "__proto__", ""].map(isMetric)).toEqual([
    ...[true, false, false, false],
  ]);
});

test("every metric is in the guide, and nothing else", () => {
  const guide = readFileSync(new URL("../../../docs/guides/metrics.md", import.meta.url), "utf8");
  const [, table = ""] = guide.split("## Figures");
  const rows = table.split("\n").filter((line) => /^\| [a-z]/.test(line));
  const named = rows.flatMap((row) => row.match(/`[a-z_0-9]+`/g) ?? []);
  const names = new Set(named.map((name) => name.slice(1, -1)));
  expect([...names].sort()).toEqual(Object.keys(METRICS).sort());
});
