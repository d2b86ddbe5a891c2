import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { setWritesRefused } from "../store/tenant-writes.ts";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
});
afterEach(() => platform.close());

const because = "It stores 11 of 10 GiB.";

async function events() {
  return platform.catalogue.database.query<{ readonly kind: string }>(sql`
    select actor, kind, before, after, request_id as "requestId" from events
     where kind like 'tenant.%_writes' order by id`);
}

test("a tenant over quota is told so, its host refuses its writes, and accepts them again", async () => {
  const agent = await platform.addAgent("h1");
  const { id: tenantId } = await platform.create("acme");
  const { database } = platform.catalogue;
  const change = { tenantId, actor: "system", because };
  const set = (refused: boolean) => setWritesRefused(database, { ...change, refused });

  const generation = await set(true);
  await expect
    .poll(() => agent.tenants.get(tenantId))
    .toMatchObject({
      ...{ writesRefused: true, generation, presence: "present" },
    });
  const refused = await platform.tenants.get("acme");
  expect(refused.status).toBe("active");
  expect(refused.statusReason).toMatch(/^Writes are refused: its storage quota .* Delete or/);
  expect(await set(true)).toBeUndefined();

  expect(await set(false)).toBeGreaterThan(generation ?? 0n);
  await expect.poll(() => agent.tenants.get(tenantId)?.writesRefused).toBe(false);
  expect(await platform.tenants.get("acme")).toMatchObject({ statusReason: "" });
  expect(await set(false)).toBeUndefined();
  expect(await events()).toEqual([
    {
      ...{ actor: "system", kind: "tenant.refuse_writes", requestId: "" },
      ...{ before: { writes_refused: false }, after: { writes_refused: true, because } },
    },
    {
      ...{ actor: "system", kind: "tenant.accept_writes", requestId: "" },
      ...{ before: { writes_refused: true }, after: { writes_refused: false, because } },
    },
  ]);
});

test("one that is being deleted is left alone", async () => {
  await platform.addAgent("h1");
  const { id: tenantId } = await platform.create("acme");
  await platform.remove("acme");
  const change = { tenantId, refused: true, actor: "system", because };
  expect(await setWritesRefused(platform.catalogue.database, change)).toBeUndefined();
  expect(await events()).toEqual([]);
});
