import { expect, test } from "vitest";
import { reserveOf } from "./host-reserve.ts";
import { MIB } from "./volume.ts";

test.each([
  { diskMiB: 10_000, instances: 0, reserveMiB: 500 },
  { diskMiB: 1_000_000, instances: 0, reserveMiB: 2_048 },
  // As much as they write as WAL when nothing more is to be written.
  { diskMiB: 1_000_000, instances: 300, reserveMiB: 128 + 300 * 64 },
  { diskMiB: 2_900, instances: 3, reserveMiB: 128 + 3 * 64 },
  { diskMiB: 2_400, instances: 30, reserveMiB: 300 },
])("a disk of $diskMiB MiB under $instances instances keeps $reserveMiB", (each) => {
  expect(reserveOf(each.diskMiB * MIB, each.instances)).toBe(each.reserveMiB * MIB);
});
