/** That a proof in the background leaves its server to the tenants, most of the time. */
import { newId } from "@aerodb/runtime";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type WalledServer, walledServer } from "../throwaway-tenant.ts";
import { proveIsolation } from "./isolation-proof.ts";

const { rests } = vi.hoisted(() => ({ rests: [] as number[] }));
vi.mock("@aerodb/runtime", async (original) => ({
  ...(await original<typeof import("@aerodb/runtime")>()),
  sleep: (ms: number) => {
    rests.push(ms);
    return Promise.resolve();
  },
}));

const SCOPE = { shared: true, forced: false };

let walled: WalledServer;
beforeAll(async () => {
  walled = await walledServer(SCOPE);
});
afterAll(() => walled.remove());
beforeEach(() => {
  rests.length = 0;
});

test("it rests after each part, and its server on the way through what a tenant tries", async () => {
  const present = [await walled.newTenant(), await walled.newTenant()];
  const absent = Array.from({ length: 260 }, () => ({ tenantId: newId("ten") }));
  const asked = [...present.map(({ tenantId }) => ({ tenantId })), ...absent];
  rests.length = 0;
  const asking = vi.spyOn(walled.root, "query");
  const gentle = await proveIsolation(walled.root, SCOPE, asked, { gently: true });
  const sleeping = asking.mock.calls.filter(([text]) => String(text).includes("pg_sleep"));
  asking.mockRestore();
  expect(sleeping).toHaveLength(present.length);
  expect(gentle).toEqual(await proveIsolation(walled.root, SCOPE, asked));
  // Two parts of 250.
  expect(rests).toHaveLength(2);
  const longest = [250 * 20, 12 * 20];
  for (const [at, ms] of rests.entries()) {
    expect(ms).toBeGreaterThan(0);
    expect(ms).toBeLessThanOrEqual(longest[at] ?? 0);
  }
});

test("one that somebody waits for does not", async () => {
  const { tenantId } = await walled.newTenant();
  rests.length = 0;
  const asking = vi.spyOn(walled.root, "query");
  await proveIsolation(walled.root, SCOPE, [{ tenantId }]);
  expect(rests).toEqual([]);
  expect(asking.mock.calls.join()).not.toContain("pg_sleep");
  asking.mockRestore();
});
