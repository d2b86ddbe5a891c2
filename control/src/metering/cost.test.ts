import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CostedHost,
  costOf,
  type Resources,
  shareInstance,
  type TenantGroup,
} from "./cost.ts";

const GIB = 1_073_741_824n;
const MIB = 1_048_576n;
const DOLLAR = 1_000_000n;

/** 16 GiB, eight cores and 512 GiB of disk for 40 dollars a month. */
function host(groups: readonly TenantGroup[], microUsdPerMonth = 40n * DOLLAR): CostedHost {
  const capacity = {
    ...{ memoryBytes: 16n * GIB, cpuMicros: 8_000_000n, storageBytes: 512n * GIB },
  };
  return { microUsdPerMonth, capacity, groups };
}

function group(use: Partial<Resources>, over: Partial<TenantGroup> = {}): TenantGroup {
  const nothing = { memoryBytes: 0n, cpuMicros: 0n, storageBytes: 0n };
  return { plan: "free", isolation: "schema", tenants: 1n, use: { ...nothing, ...use }, ...over };
}

describe("what a tenant costs", () => {
  test("is its largest share of the host, and now with all that is idle", () => {
    const use = { memoryBytes: GIB, cpuMicros: 4_000_000n, storageBytes: GIB };
    const { hostsMicroUsd, usedMicroUsd, costs } = costOf([host([group(use, { tenants: 10n })])]);
    expect({ hostsMicroUsd, usedMicroUsd }).toEqual({
      ...{ hostsMicroUsd: 40n * DOLLAR, usedMicroUsd: 20n * DOLLAR },
    });
    expect(costs).toEqual([
      {
        ...{ plan: "free", isolation: "schema", tenants: 10n, scarce: "cpu" },
        use: { memoryBytes: 107_374_182n, cpuMicros: 400_000n, storageBytes: 107_374_182n },
        ...{ whenFullMicroUsd: 2n * DOLLAR, nowMicroUsd: 4n * DOLLAR },
      },
    ]);
  });

  test("is more for who takes more, and idle hosts are paid by all in proportion", () => {
    const small = group({ memoryBytes: GIB }, { tenants: 100n });
    const large = group({ memoryBytes: 4n * GIB }, { plan: "pro", isolation: "database" });
    const { costs } = costOf([host([small, large]), host([])]);
    expect(
      costs.map(({ plan, whenFullMicroUsd, nowMicroUsd }) => [
        ...[plan, whenFullMicroUsd, nowMicroUsd],
      ]),
    ).toEqual([
      ["free", 25_000n, 160_000n],
      ["pro", 10n * DOLLAR, 64n * DOLLAR],
    ]);
  });

  test("of a quiet schema tenant is cents, with 400 of them on two cores as the bench had", () => {
    const use = { memoryBytes: 200n * MIB, cpuMicros: 267_600n, storageBytes: 40n * MIB };
    const two = { ...host([group(use, { tenants: 400n })]).capacity, cpuMicros: 2_000_000n };
    const { costs } = costOf([{ ...host([group(use, { tenants: 400n })]), capacity: two }]);
    expect(costs[0]).toMatchObject({ scarce: "cpu", whenFullMicroUsd: 13_380n });
    expect(costs[0]?.nowMicroUsd).toBe(100_000n);
  });

  test("is nothing where nothing is used, and nothing is divided by a disk nobody told of", () => {
    expect(costOf([]).costs).toEqual([]);
    expect(costOf([host([group({})])]).costs[0]).toMatchObject({ nowMicroUsd: 0n });
    const unknown = { ...host([group({ storageBytes: GIB })]), capacity: group({}).use };
    expect(costOf([unknown]).usedMicroUsd).toBe(0n);
  });
});

test("an instance is shared out: what was metered to whom it is of, the rest to all alike", () => {
  const use = { memoryBytes: 300n, cpuMicros: 30n, storageBytes: 1_000n };
  const shared = shareInstance(use, [
    { plan: "free", isolation: "schema", tenants: 2n, storageBytes: 100n },
    { plan: "pro", isolation: "schema", tenants: 1n, storageBytes: 600n },
  ]);
  expect(shared.map((each) => each.use)).toEqual([
    { memoryBytes: 200n, cpuMicros: 20n, storageBytes: 300n },
    { memoryBytes: 100n, cpuMicros: 10n, storageBytes: 700n },
  ]);
  const [more] = shareInstance({ ...use, storageBytes: 0n }, [
    { plan: "free", isolation: "schema", tenants: 1n, storageBytes: 100n },
  ]);
  expect(more?.use.storageBytes).toBe(100n);
});

describe("whatever is measured", () => {
  const amount = fc.bigInt({ min: 1n, max: GIB });
  const use = fc.record({ memoryBytes: amount, cpuMicros: amount, storageBytes: amount });
  const groups = fc.array(
    fc.record({
      plan: fc.constantFrom("free", "pro"),
      isolation: fc.constantFrom("schema", "database"),
      tenants: fc.bigInt({ min: 1n, max: 5_000n }),
      use,
    }),
    { minLength: 1, maxLength: 4 },
  );
  const hosts = fc.array(
    fc.tuple(groups, fc.bigInt({ min: 1n, max: 500n * DOLLAR })).map(([of, price]) => {
      return host(of, price);
    }),
    { minLength: 1, maxLength: 4 },
  );

  test("what all tenants cost now is what all hosts cost, but for rounding", () => {
    fc.assert(
      fc.property(hosts, (all) => {
        const { hostsMicroUsd, costs } = costOf(all);
        const paid = costs.reduce((sum, each) => sum + each.nowMicroUsd * each.tenants, 0n);
        const tenants = costs.reduce((sum, each) => sum + each.tenants, 0n);
        const off = paid > hostsMicroUsd ? paid - hostsMicroUsd : hostsMicroUsd - paid;
        expect(off * 2n).toBeLessThanOrEqual(tenants);
      }),
    );
  });

  test("another idle host makes all dearer now, and none when full", () => {
    fc.assert(
      fc.property(hosts, (all) => {
        const before = costOf(all).costs;
        const after = costOf([host([], 900n * DOLLAR), ...all]).costs;
        for (const [at, each] of after.entries()) {
          expect(each.whenFullMicroUsd).toBe(before[at]?.whenFullMicroUsd);
          expect(each.nowMicroUsd).toBeGreaterThanOrEqual(before[at]?.nowMicroUsd ?? 0n);
        }
      }),
    );
  });

  test("the order of hosts and groups changes nothing", () => {
    fc.assert(
      fc.property(hosts, (all) => {
        const turned = all.map((each) => ({ ...each, groups: each.groups.toReversed() }));
        expect(costOf(turned.toReversed())).toEqual(costOf(all));
      }),
    );
  });
});
