/** Who stays at a quota is suspended after a grace, and served again when the cause is gone. */
import { sql } from "@aerodb/db";
import type { HostId, TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import { evaluateQuotas, getTenantQuotas, type QuotasAsk, setTenantQuotas } from "./quotas.ts";
import { getTenant } from "./tenant-view.ts";
import { rollUpUsage } from "./usage-records.ts";

const GRACE_SECONDS = 3_600;
const never = new AbortController().signal;

let server: CatalogueServer;
let platform: PlatformFixture;
let host: HostId;
let tenantId: TenantId;
let sequence = 0n;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000, quotaGraceSeconds: GRACE_SECONDS });
  await platform.addAgent("h1");
  host = (await getHost(platform.control, "h1")).id;
  tenantId = (await platform.create("acme")).id;
});
afterEach(() => platform.close());

function set(quota: bigint, grace?: QuotasAsk["grace"]): ReturnType<typeof setTenantQuotas> {
  const overrides = [{ resource: "storage_bytes", quota } as const];
  return setTenantQuotas(platform.control, tester, { tenant: "acme", overrides, grace });
}

async function stores(value: bigint): Promise<void> {
  sequence += 1n;
  const at = now();
  await platform.fleet.takeUsage(host, [
    { sequence, meter: "storage_bytes", tenantId, value, startedAt: at, endedAt: at },
  ]);
  await rollUpUsage(platform.control);
  await evaluateQuotas(platform.control);
}

/** As if it had been at its quota for so long already. */
async function passes(seconds: number): Promise<void> {
  const { database } = platform.catalogue;
  await database.query(sql`
    update quota_stages set since = since - make_interval(secs => ${seconds})`);
  await database.query(sql`
    update tenants set reinstated_at = reinstated_at - make_interval(secs => ${seconds})`);
  await evaluateQuotas(platform.control);
}

/** The agent answers in its own time. */
async function becomes(status: string): Promise<void> {
  await vi.waitFor(async () => {
    expect((await getTenant(platform.control, "acme")).status).toBe(status);
  });
}

async function told(): Promise<unknown[]> {
  return (
    await platform.catalogue.database.query<{ kind: string; actor: string }>(sql`
      select kind, actor from events
       where subject = ${tenantId} and kind in ('tenant.suspend', 'tenant.reinstate') order by id`)
  ).map(({ kind, actor }) => `${kind} by ${actor}`);
}

async function fillUp(): Promise<void> {
  await set(1_000n);
  await stores(1_200n);
  await passes(GRACE_SECONDS);
  await becomes("suspended");
}

describe("a tenant at its quota", () => {
  test("is suspended after its grace, once, with a reason that tells what to do", async () => {
    await set(1_000n);
    await stores(1_200n);
    await passes(GRACE_SECONDS - 60);
    expect((await getTenant(platform.control, "acme")).status).toBe("active");
    await passes(60);
    await evaluateQuotas(platform.control);
    await becomes("suspended");
    const { statusReason } = await getTenant(platform.control, "acme");
    expect(statusReason).toMatch(/^Its storage quota has been used up since .* 1200 of 1000 bytes/);
    expect(statusReason).toMatch(/served again once the quota is raised.*by hand gives it 1 hour/);
    expect(await getTenantQuotas(platform.control, "acme")).toMatchObject({
      ...{ suspendedByQuota: true, grace: { seconds: GRACE_SECONDS, overridden: false } },
    });
    expect(await told()).toEqual(["tenant.suspend by system"]);
  });

  test("is served again when its quota is raised, and when it stores less", async () => {
    await fillUp();
    await set(10_000n);
    await becomes("active");
    await set(1_000n);
    await passes(GRACE_SECONDS);
    await becomes("suspended");
    await stores(10n);
    await becomes("active");
    const [suspend, reinstate] = ["tenant.suspend by system", "tenant.reinstate by system"];
    expect(await told()).toEqual([suspend, reinstate, suspend, reinstate]);
  });

  test("has its grace anew once somebody reinstated it by hand", async () => {
    await fillUp();
    await platform.tenants.reinstate(tester, "acme", never);
    await passes(GRACE_SECONDS - 60);
    expect((await getTenant(platform.control, "acme")).status).toBe("active");
    await passes(60);
    await becomes("suspended");
  });

  test("is suspended after a time of its own, or never, where it has one", async () => {
    await stores(1_200n);
    await set(1_000n, { seconds: undefined });
    await passes(10 * GRACE_SECONDS);
    expect((await getTenant(platform.control, "acme")).status).toBe("active");
    await set(1_000n, { seconds: 0 });
    await becomes("suspended");
    await set(1_000n, { seconds: 100 * GRACE_SECONDS });
    await becomes("active");
    const events = await platform.catalogue.database.query<{ before: unknown; after: unknown }>(sql`
      select before, after from events where kind = 'quota.override' order by id`);
    const storage_bytes = 1_000;
    expect(events).toEqual([
      { before: {}, after: { storage_bytes, grace_seconds: null } },
      {
        before: { storage_bytes, grace_seconds: null },
        after: { storage_bytes, grace_seconds: 0 },
      },
      {
        before: { storage_bytes, grace_seconds: 0 },
        after: { storage_bytes, grace_seconds: 360_000 },
      },
    ]);
  });
});

describe("what somebody suspended by hand", () => {
  test("is never reinstated by a quota", async () => {
    await set(1_000n);
    await stores(1_200n);
    await platform.tenants.suspend(tester, "acme", "unpaid", never);
    await passes(GRACE_SECONDS);
    await set(10_000n);
    await evaluateQuotas(platform.control);
    expect(await getTenant(platform.control, "acme")).toMatchObject({
      ...{ status: "suspended", statusReason: "unpaid" },
    });
    expect(await told()).toEqual(["tenant.suspend by key_tester"]);
  });

  test("is theirs too when a quota had it suspended before, even for the same reason", async () => {
    await fillUp();
    const { statusReason } = await getTenant(platform.control, "acme");
    await platform.tenants.suspend(tester, "acme", statusReason, never);
    await set(10_000n);
    expect((await getTenant(platform.control, "acme")).status).toBe("suspended");
    await platform.tenants.reinstate(tester, "acme", never);
    expect(await told()).toEqual([
      "tenant.suspend by system",
      "tenant.suspend by key_tester",
      "tenant.reinstate by key_tester",
    ]);
  });
});

test("without a grace of the platform nobody is suspended", async () => {
  const { quotaGraceSeconds: _, ...settings } = platform.control.settings;
  const control = { ...platform.control, settings };
  await set(1_000n);
  await stores(1_200n);
  await platform.catalogue.database.query(sql`
    update quota_stages set since = since - interval '1 year'`);
  await evaluateQuotas(control);
  expect(await told()).toEqual([]);
});

test("quotas of who is not there are refused", async () => {
  const nobody = setTenantQuotas(platform.control, tester, {
    ...{ tenant: "nobody", overrides: [], grace: { seconds: 1 } },
  });
  expect(await faultOf(nobody)).toMatchObject({ code: "TENANT_NOT_FOUND" });
});
