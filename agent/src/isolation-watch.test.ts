import { isProven, type TenantProof } from "@aerodb/postgres";
import { silent, sleep } from "@aerodb/runtime";
import { beforeEach, expect, test, vi } from "vitest";
import type { RunningInstance } from "./drivers/driver.ts";
import { FakeHost } from "./drivers/fake-host.ts";
import { HostState } from "./host-state.ts";
import { IsolationWatch, type KeptProof } from "./isolation-watch.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

const instance = sampleInstance();
const tenant = sampleTenant(instance.spec.id);
let host: BreakableHost;
let state: HostState;
let running: RunningInstance;
let watch: IsolationWatch;
let told: KeptProof[];

/** A host whose walls can be broken, for good or until they are mended. */
class BreakableHost extends FakeHost {
  broken: "no" | "mendable" | "for_good" = "no";
  /** Tenants of which a proof comes to no end. */
  readonly slow = new Set<string>();
  proofs = 0;
  tookMs = 0;
  rule = "role.settings";
  /** What a proof that has seen everything waits for before it ends. */
  ending = Promise.resolve();
  readonly mendings: (readonly string[])[] = [];
  readonly together: number[] = [];
  readonly knew: boolean[] = [];

  override async prove(...of: Parameters<TenantKeeper["prove"]>): Promise<readonly TenantProof[]> {
    this.proofs += 1;
    if (this.tookMs > 0) vi.advanceTimersByTime(this.tookMs);
    this.together.push(of[1].length);
    this.knew.push(of[2]?.instance !== undefined);
    const held = this.broken === "no" ? 1 : 0;
    const rules = [{ id: this.rule, checked: 1, held, violations: held ? [] : ["role a"] }];
    await this.ending;
    return of[1].map(({ tenantId }) => {
      return this.slow.has(tenantId)
        ? { tenantId, rules: [], unproven: "a lock was held" }
        : { tenantId, rules };
    });
  }

  override async mend(...of: Parameters<FakeHost["mend"]>): Promise<void> {
    if (this.broken === "mendable") this.broken = "no";
    await super.mend(...of);
  }

  override async mendInstance(...of: Parameters<FakeHost["mendInstance"]>): Promise<void> {
    this.mendings.push(of[1]);
    if (this.broken === "mendable") this.broken = "no";
  }
}

beforeEach(async () => {
  host = new BreakableHost({ room: 2 });
  state = new HostState();
  told = [];
  state.desire({ instances: [instance], tenants: [tenant] });
  await host.make(instance.spec);
  running = await host.start(instance.spec);
  await host.ensure(running, { ...tenant, dedicated: false });
  state.started(running, true);
  state.ensured(running, tenant);
  watch = new IsolationWatch({
    ...{ state, driver: host, tenants: host, logger: silent },
    proven: (proofs) => void told.push(...proofs),
  });
});

test("a tenant is admitted once it is proven, and proven once for each server", async () => {
  await watch.admit(running, tenant);
  await watch.admit(running, tenant);
  expect([host.proofs, told.length]).toEqual([1, 1]);
  expect(watch.newest()).toMatchObject([{ tenantId: tenant.tenantId, healed: [] }]);
});

test("an instance that was prepared is known when its tenant is admitted", async () => {
  await watch.prepare(running);
  await watch.admit(running, tenant);
  expect(host.knew).toEqual([false, true]);
});

test("of many that come at once each is admitted, and they are proven together", async () => {
  const others = Array.from({ length: 5 }, () => sampleTenant(instance.spec.id));
  state.desire({ instances: [], tenants: others });
  await Promise.all([tenant, ...others.slice(0, 2)].map((each) => watch.admit(running, each)));
  host.broken = "for_good";
  const ends = await Promise.allSettled(others.slice(2).map((each) => watch.admit(running, each)));
  expect(ends.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect([host.together[0], host.together[1]]).toEqual([3, 3]);
  expect(watch.newest().length).toBe(6);
});

test("one that cannot be proven is not ready, and the reason names the rule", async () => {
  host.broken = "for_good";
  await expect(watch.admit(running, tenant)).rejects.toThrow("role.settings (role a)");
  expect(told.map(({ rules }) => rules[0]?.held)).toEqual([0]);
});

test("one that was there before comes back at once, and what is broken is told", async () => {
  host.broken = "for_good";
  await watch.readmit(running, tenant);
  expect(told.map(({ rules }) => rules[0]?.held)).toEqual([0]);
});

test("a proof that was begun before another says nothing once that one is there", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  host.ending = promise;
  const round = watch.check(instance.spec.id);
  await sleep(5);
  host.broken = "for_good";
  host.ending = Promise.resolve();
  expect(isProven(await watch.proveNow(tenant.tenantId))).toBe(false);
  resolve();
  await round;
  expect(watch.newest().map(isProven)).toEqual([false]);
  expect(told.map(isProven)).toEqual([false]);
});

test("what can be mended is mended, and said", async () => {
  host.broken = "mendable";
  await watch.admit(running, tenant);
  expect(told).toMatchObject([{ healed: ["role.settings"], rules: [{ held: 1 }] }]);
});

test("an instance is proven again when something was written or one is broken", async () => {
  await watch.check(instance.spec.id);
  await watch.check(instance.spec.id);
  expect(host.proofs).toBe(1);
  host.broken = "for_good";
  await watch.proveNow(tenant.tenantId);
  const before = host.proofs;
  await watch.check(instance.spec.id);
  expect(host.proofs).toBeGreaterThan(before);
});

test("a proof that comes to no end leaves the one before, is told once and tried again", async () => {
  await watch.check(instance.spec.id);
  host.slow.add(tenant.tenantId);
  await watch.proveNow(tenant.tenantId);
  await watch.check(instance.spec.id);
  expect(told.map(({ unproven }) => unproven)).toEqual([undefined, "a lock was held"]);
  expect(watch.newest()).toMatchObject([{ rules: [{ held: 1 }] }]);
  expect(host.proofs).toBe(3);
  host.slow.clear();
  await watch.check(instance.spec.id);
  await watch.check(instance.spec.id);
  expect([host.proofs, told.length]).toEqual([4, 3]);
});

test("one whose proofs come to no end for an hour is not taken to hold", async () => {
  vi.useFakeTimers();
  try {
    await watch.check(instance.spec.id);
    host.slow.add(tenant.tenantId);
    for (const minutes of [0, 59, 1]) {
      vi.advanceTimersByTime(minutes * 60_000);
      await watch.proveNow(tenant.tenantId);
    }
    expect(told.map(isProven)).toEqual([true, false, false]);
    expect(told.at(-1)?.rules).toMatchObject([{ id: "proof.ends", held: 0 }]);
    host.slow.clear();
    await watch.proveNow(tenant.tenantId);
    expect(watch.newest().map(isProven)).toEqual([true]);
  } finally {
    vi.useRealTimers();
  }
});

test("however long a proof takes, the next look after a pause has another", async () => {
  vi.useFakeTimers();
  try {
    host.tookMs = 40_000;
    host.slow.add(tenant.tenantId);
    await watch.check(instance.spec.id);
    vi.advanceTimersByTime(10_000);
    await watch.check(instance.spec.id);
    expect(host.proofs).toBe(1);
    vi.advanceTimersByTime(5_000);
    await watch.check(instance.spec.id);
    expect(host.proofs).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

test("what was mended elsewhere is told with a proof", async () => {
  await watch.healed(tenant, ["role.password"]);
  expect(told).toMatchObject([{ healed: ["role.password"], rules: [{ held: 1 }] }]);
});

test("walls of an instance are mended once for all its tenants, and told of each", async () => {
  const other = sampleTenant(instance.spec.id);
  state.desire({ instances: [], tenants: [other] });
  await host.ensure(running, { ...other, dedicated: false });
  state.ensured(running, other);
  host.broken = "mendable";
  host.rule = "instance.event_triggers";
  await watch.check(instance.spec.id);
  expect(told).toMatchObject([{ healed: [host.rule] }, { healed: [host.rule] }]);
  expect([host.proofs, host.mendings]).toEqual([2, [["instance.event_triggers"]]]);
});

test("a tenant that should be gone is not reported any more", async () => {
  await watch.proveNow(tenant.tenantId);
  state.desire({ instances: [], tenants: [{ ...tenant, present: false, generation: 9n }] });
  expect(watch.newest()).toEqual([]);
  await expect(watch.proveNow(tenant.tenantId)).rejects.toThrow("no server that runs here");
});
