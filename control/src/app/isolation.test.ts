import { sql } from "@aerodb/db";
import type { HostId, TenantId } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import {
  getTenantIsolation,
  type IsolationProof,
  proveTenantIsolation,
  type Signer,
  takeIsolationProofs,
} from "./isolation.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let hostId: HostId;
let tenantId: TenantId;
const signer: Signer = { sign: (text) => `signed ${text.length}`, keyId: "key" };
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  hostId = (await getHost(platform.control, "h1")).id;
  tenantId = (await platform.create("acme")).id;
});
afterEach(() => platform.close());

const HELD = { id: "table.policy", checked: 3, held: 3, violations: [] };
const BROKEN = { id: "table.policy", checked: 3, held: 2, violations: ["table ten_a.t"] };

function proof(second: number, over: Partial<IsolationProof> = {}): IsolationProof {
  const provenAt = new Date(Date.UTC(2026, 0, 1, 0, 0, second));
  const whole = { healedRules: [], unprovenBecause: "" };
  return { tenantId, provenAt, engine: "18.4", rules: [HELD], ...whole, ...over };
}

async function take(...proofs: readonly IsolationProof[]): Promise<void> {
  await takeIsolationProofs(platform.control, hostId, proofs);
}

async function eventsOf(kind: string): Promise<unknown[]> {
  return platform.control.database.query(
    sql`select after from events where kind = ${kind} and subject = ${tenantId} order by id`,
  );
}

test("there is no report before the first proof, and one with counts after", async () => {
  const none = getTenantIsolation(platform.control, signer, "acme");
  expect((await faultOf(none)).code).toBe("UNAVAILABLE");
  await take(proof(1));
  const report = await getTenantIsolation(platform.control, signer, "acme");
  expect(report).toMatchObject({ proven: true, isolation: "schema", keyId: "key" });
  expect(report.rules).toMatchObject([{ subject: "tables", checked: 3, held: 3 }]);
  expect(report.document).toMatch(/^\{"engine":"18\.4","isolation":"schema","not_hidden":\["/);
  expect(report.signature).toBe(`signed ${report.document.length}`);
});

test("a tenant whose proof fails is quarantined, and served when it holds", async () => {
  await take(proof(1, { rules: [BROKEN] }));
  const broken = await platform.tenants.get("acme");
  expect([broken.quarantined, broken.statusReason]).toEqual([
    true,
    "its isolation is not proven: table.policy (table ten_a.t)",
  ]);
  await take(proof(2));
  expect(await platform.tenants.get("acme")).toMatchObject({ quarantined: false });
  expect(await eventsOf("tenant.quarantine")).toHaveLength(2);
});

test("what comes late or twice, and what is not the host's to say, changes nothing", async () => {
  await take(proof(5));
  await take(proof(4, { rules: [BROKEN] }), proof(5, { rules: [BROKEN] }));
  const elsewhere = await platform.addHost("h2");
  await takeIsolationProofs(platform.control, elsewhere, [proof(9, { rules: [BROKEN] })]);
  await take(proof(9, { tenantId: "ten_unknown", rules: [BROKEN] }));
  expect(await platform.tenants.get("acme")).toMatchObject({ quarantined: false });
});

test("a proof of nothing is none", async () => {
  await take(proof(1, { rules: [] }));
  expect(await platform.tenants.get("acme")).toMatchObject({ quarantined: true });
});

test("what a host mended is an event", async () => {
  await take(proof(1, { healedRules: ["role.settings"] }));
  expect(await eventsOf("tenant.isolation_healed")).toEqual([
    { after: { rules: ["role.settings"] } },
  ]);
});

test("a proof that is asked for is kept and acted upon", async () => {
  const questions = { ask: async () => proof(3, { rules: [BROKEN] }) as never };
  const signal = new AbortController().signal;
  const ask = { questions, tenant: "acme", signal };
  const report = await proveTenantIsolation(platform.control, signer, ask);
  expect(report).toMatchObject({ proven: false, tenantId });
  expect(await platform.tenants.get("acme")).toMatchObject({ quarantined: true });
});

test("the route of a quarantined tenant names rules about itself, and none of its server", async () => {
  const ofServer = {
    id: "instance.roles",
    checked: 1,
    held: 0,
    violations: ["role of a neighbour"],
  };
  await take(proof(1, { rules: [HELD, BROKEN, ofServer] }));
  const { routes } = await platform.fleet.routesWhole();
  expect(routes).toMatchObject([{ state: "quarantined", brokenRules: ["table.policy"] }]);
  await take(proof(2));
  const { routes: after } = await platform.fleet.routesWhole();
  expect(after).toMatchObject([{ state: "active", brokenRules: [] }]);
});

test("a proof that came to no end is an event, and takes no other's place", async () => {
  await take(proof(1));
  await take(proof(2, { rules: [], unprovenBecause: "a lock was held" }));
  const report = await getTenantIsolation(platform.control, signer, "acme");
  expect([report.proven, report.provenAt]).toEqual([true, proof(1).provenAt]);
  expect(await eventsOf("tenant.isolation_unproven")).toEqual([
    { after: { reason: "a lock was held" } },
  ]);
  expect(await platform.tenants.get("acme")).toMatchObject({ quarantined: false });
  await take(proof(3, { rules: [BROKEN], unprovenBecause: "a lock was held" }));
  expect(await platform.tenants.get("acme")).toMatchObject({ quarantined: true });
});
