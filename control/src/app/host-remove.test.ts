import { randomBytes } from "node:crypto";
import { sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import { armFailpoints } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { purge } from "../reconcilers/purge.ts";
import { findDisagreements } from "../store/consistency.ts";
import { diagnose } from "./diagnosis.ts";
import { sampleFacts } from "./fake-agent.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { refusalToRemove, removeHost } from "./host-remove.ts";
import { getHost, listHosts } from "./hosts.ts";
import { listJoinTokens, requireStanding, revokeHost } from "./identities.ts";
import { createJoinToken, join } from "./joining.ts";
import { listOperations } from "./operations.ts";
import { listRegions } from "./regions.ts";
import { getTenant, listTenants } from "./tenant-view.ts";

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

const HELLO = { agentVersion: "0", edgeAddress: "", facts: sampleFacts(), generation: 0n };

function remove(host: string, lost = false) {
  return removeHost(platform.control, tester, { host, lost });
}

async function eventsOf(subject: string): Promise<object[]> {
  return platform.catalogue.database.query(sql`
    select actor, kind, after from events where subject = ${subject} order by id`);
}

async function countOf(hostId: HostId) {
  const [row] = await platform.catalogue.database.query(sql`
    select (select count(*) from warm_instances where host_id = ${hostId})::integer as warm,
           (select count(*) from samples where subject = ${hostId})::integer as samples,
           (select count(*) from join_tokens
             where rejoins = ${hostId} or used_by = ${hostId})::integer as tokens,
           (select fingerprint from hosts where id = ${hostId})::text as fingerprint`);
  return row;
}

/** Gives a host everything that describes one. */
async function describe(hostId: HostId): Promise<void> {
  await createJoinToken(platform.control, tester, {
    ...{ kind: "host", region: "", ttlSeconds: 0, rejoins: hostId },
  });
  await platform.catalogue.database.query(sql`
    with warm as (
      insert into warm_instances (id, host_id, engine_major, max_connections, memory_mib,
                                  cpu_millis, storage_mib, pids_limit)
      values ('ins_01jc7w4x9dep8t3w8rj0sxv5n2', ${hostId}, 18, 10, 128, 100, 0, 0)
    )
    insert into samples (host_id, sequence, day, subject, at, seconds, readings)
    values (${hostId}, 1, day_of_sample(now()), ${hostId}, now(), 10, '{}')`);
}

test("a host that holds nothing and is not connected goes, with what only describes it", async () => {
  const agent = await platform.addAgent("one");
  const { id } = await getHost(platform.control, "one");
  await describe(id);
  await agent.stop();
  const removed = await remove("one");
  expect(removed).toMatchObject({ id, name: "one", lostTenants: 0 });
  expect(await countOf(id)).toEqual({ warm: 0, samples: 0, tokens: 0, fingerprint: "{}" });
  expect(await listHosts(platform.control)).toEqual([]);
  expect(await listJoinTokens(platform.control)).toEqual([]);
  expect(await listRegions(platform.control)).toMatchObject([{ hosts: 0, connectedHosts: 0 }]);
  const questions = { ask: () => Promise.reject(new Error("nobody is asked")) };
  const { findings } = await diagnose(platform.control, questions, new AbortController().signal);
  expect(findings).toEqual([]);
  expect((await faultOf(getHost(platform.control, id))).code).toBe("HOST_NOT_FOUND");

  for (const named of ["one", id]) expect(await remove(named)).toEqual(removed);
  const removals = (await eventsOf(id)).slice(2);
  expect(removals).toEqual([
    { actor: tester.principal, kind: "host.remove", after: { lost: false } },
  ]);
  for (const unknown of ["two", "", "\n", "hst_01jc7w4x9dep8t3w8rj0sxv5n2"]) {
    expect((await faultOf(remove(unknown))).code).toBe("HOST_NOT_FOUND");
  }
});

test("a connected host is refused, lost or not, until its agent stops or it is revoked", async () => {
  const agent = await platform.addAgent("one");
  for (const lost of [false, true]) {
    const fault = await faultOf(remove("one", lost));
    expect(fault.code).toBe("HOST_CONNECTED");
    expect(fault.message).toContain("stop its agent first");
  }
  const { id } = await getHost(platform.control, "one");
  await revokeHost(platform.control, tester, { host: "one", reason: "" });
  await remove("one");
  expect(await platform.fleet.hostHeard(id, agent.token)).toBe(false);
});

test("tenants on a host keep it, and the refusal says how many and what to do", async () => {
  const agent = await platform.addAgent("one");
  await platform.create("acme");
  await platform.create("globex", { plan: "pro" });
  await platform.remove("globex");
  await agent.stop();
  const fault = await faultOf(remove("one"));
  expect(fault).toMatchObject({ code: "HOST_IN_USE", details: { tenants: 1 } });
  expect(fault.message).toContain("1 tenant is on the host one: delete it first");
  expect(await getTenant(platform.control, "acme")).toMatchObject({ status: "active" });
  const many = { name: "one", connected: false, revoked: true, tenants: 2 };
  expect(refusalToRemove(many, false)?.message).toContain("2 tenants are on the host one");
  expect(refusalToRemove(many, true)).toBeUndefined();
});

test("tenants of a host that fell silent say since when", async () => {
  const agent = await platform.addAgent("one");
  await platform.create("acme");
  await agent.stop();
  const reason = async () => (await getTenant(platform.control, "acme")).statusReason;
  expect(await reason()).toBe("");
  await platform.catalogue.database.query(sql`
    update hosts set last_seen_at = '2020-01-01T10:00:00Z'`);
  expect(await reason()).toBe(
    "The agent of its host has not been heard since 2020-01-01T10:00:00Z.",
  );
});

test("a shared instance without tenants does not keep its host", async () => {
  const agent = await platform.addAgent("one");
  await platform.create("acme");
  await platform.remove("acme");
  await agent.stop();
  await remove("one");
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
});

test("the tenants of a lost host have failed and say why, and are deleted at once", async () => {
  const agent = await platform.addAgent("one");
  const acme = await platform.create("acme");
  await platform.create("globex", { plan: "pro" });
  const before = await platform.fleet.routesWhole();
  await platform.catalogue.database.query(sql`
    insert into usage_events (source, sequence, meter, tenant_id, value, started_at, ended_at)
    values ('hst_x', 1, 'seconds', ${acme.id}, 1, now(), now())`);
  await agent.stop();
  expect(await remove("one", true)).toMatchObject({ lostTenants: 2 });

  const { tenants } = await listTenants(platform.control, { status: "failed" });
  expect(tenants.map(({ name }) => name)).toEqual(["acme", "globex"]);
  const reason = expect.stringContaining("Its host was lost");
  expect(tenants).toMatchObject([{ statusReason: reason }, { statusReason: reason }]);
  const change = await platform.fleet.routeChanges(before.generation);
  expect(change.routes.map(({ state }) => state)).toEqual(["gone", "gone"]);
  expect(change.endpoints).toMatchObject([{ gone: true }, { gone: true }]);
  expect(await platform.fleet.routesWhole()).toMatchObject({ routes: [], endpoints: [] });
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
  const signal = new AbortController().signal;
  const rotation = await faultOf(platform.tenants.rotate(tester, "acme", signal));
  expect(rotation.code).toBe("TENANT_NOT_ACTIVE");
  expect((await faultOf(platform.create("acme"))).code).toBe("TENANT_NAME_EXISTS");

  for (const name of ["acme", "globex"]) {
    expect(await platform.remove(name)).toMatchObject({ status: "deleted" });
    expect((await faultOf(platform.remove(name))).code).toBe("TENANT_NOT_FOUND");
  }
  const [newest] = (await listOperations(platform.control, { tenantId: acme.id })).operations;
  expect(newest).toMatchObject({ kind: "delete_tenant", done: true, error: "" });
  expect((await eventsOf(acme.id)).slice(-2)).toMatchObject([
    { actor: tester.principal, kind: "tenant.failed" },
    { actor: tester.principal, kind: "tenant.delete" },
  ]);
  const usage = await platform.catalogue.database.query(sql`select from usage_events`);
  expect(usage).toHaveLength(1);
  await platform.addAgent("two");
  expect(await platform.create("acme")).toMatchObject({ status: "active" });
});

test("a suspended tenant of a lost host has failed too, and cannot be reinstated", async () => {
  const agent = await platform.addAgent("one");
  await platform.create("acme");
  const { signal } = new AbortController();
  await platform.tenants.suspend(tester, "acme", "unpaid", signal);
  await agent.stop();
  await remove("one", true);
  const { status, statusReason } = await getTenant(platform.control, "acme");
  expect([status, statusReason]).toEqual(["failed", expect.stringContaining("host was lost")]);
  const reinstating = faultOf(platform.tenants.reinstate(tester, "acme", signal));
  expect((await reinstating).code).toBe("TENANT_NOT_ACTIVE");
  expect(await platform.remove("acme")).toMatchObject({ status: "deleted" });
});

test("a control that breaks in the middle leaves all as it was, or all done", async () => {
  const agent = await platform.addAgent("one");
  await platform.create("acme");
  await agent.stop();
  armFailpoints("control.host_remove.before_commit=throw");
  await expect(remove("one", true)).rejects.toThrow("failpoint");
  expect(await getHost(platform.control, "one")).toMatchObject({ tenants: 1, revokedAt: null });
  expect(await getTenant(platform.control, "acme")).toMatchObject({ status: "active" });
  armFailpoints("control.host_remove.after_commit=throw");
  await expect(remove("one", true)).rejects.toThrow("failpoint");
  expect(await getTenant(platform.control, "acme")).toMatchObject({ status: "failed" });
  expect(await remove("one", true)).toMatchObject({ lostTenants: 0 });
});

test("a creation that waits for a lost host ends with it", async () => {
  const hostId = await platform.addHost("one");
  const { token } = await reconnect(hostId);
  const creation = faultOf(platform.create("globex"));
  await expect.poll(() => platform.count("tenants")).toBe(1);
  await platform.fleet.hostDisconnected(hostId, token);
  await remove("one", true);
  const fault = await creation;
  expect(fault.code).toBe("OPERATION_FAILED");
  expect(fault.message).toContain("host was lost");
  expect(await platform.remove("globex")).toMatchObject({ status: "deleted" });
});

function reconnect(hostId: HostId) {
  return platform.fleet.hostConnected(hostId, HELLO);
}

test("a deletion under way is done when its host is lost", async () => {
  const hostId = await platform.addHost("one");
  const agent = await platform.addAgent("one", { hostId });
  await platform.create("acme");
  await agent.stop();
  const removal = platform.remove("acme");
  await expect
    .poll(async () => (await listTenants(platform.control, { status: "deleting" })).tenants)
    .toHaveLength(1);
  expect(await remove("one", true)).toMatchObject({ lostTenants: 1 });
  expect(await removal).toMatchObject({ status: "deleted" });
});

test("an agent of a removed host is told so, and joins anew as another of the same name", async () => {
  const id = await platform.addHost("one");
  const ask = { kind: "host", region: "", ttlSeconds: 0, rejoins: id };
  const again = await createJoinToken(platform.control, tester, ask);
  await remove("one");
  const shown = { kind: "host", id, serial: "ABC", issuedAt: new Date() };
  const { code, message } = await faultOf(requireStanding(platform.control, shown));
  expect(code).toBe("PERMISSION_DENIED");
  expect(message).toMatch(/The host one \(hst_\w+\) was removed on .*: move its identity away/);
  expect((await faultOf(reconnect(id))).code).toBe("HOST_NOT_FOUND");
  expect((await faultOf(createJoinToken(platform.control, tester, ask))).code).toBe(
    "HOST_NOT_FOUND",
  );
  const request = { publicKeySha256: randomBytes(32), name: "one", tokenId: again.id };
  const refused = join(platform.control, { ...request, secret: again.secret, heldId: id });
  expect((await faultOf(refused)).message).toContain("was removed, so move its identity away");
  const anew = await platform.addHost("one");
  expect(await getHost(platform.control, "one")).toMatchObject({ id: anew });
  // Of the two with the name it is the one that is there.
  expect(await remove("one")).toMatchObject({ id: anew });
});

test("a removed host is forgotten once nothing refers to it", async () => {
  const agent = await platform.addAgent("one");
  const { id } = await getHost(platform.control, "one");
  await platform.create("acme");
  await agent.stop();
  await remove("one", true);
  const longAgo = sql`update hosts set removed_at = now() - interval '31 days'`;
  await platform.catalogue.database.query(longAgo);
  await purge(platform.control);
  expect(await remove(id)).toMatchObject({ id });
  await platform.remove("acme");
  await platform.catalogue.database.query(sql`
    update tenants set deleted_at = now() - interval '31 days'`);
  await platform.catalogue.database.query(sql`
    update instances set gone_at = now() - interval '31 days'`);
  await purge(platform.control);
  expect((await faultOf(remove(id))).code).toBe("HOST_NOT_FOUND");
});

test("without a region a tenant goes to the only one that has hosts in force", async () => {
  const west = await platform.addHost("west", "eu-west-1");
  await platform.addAgent("one");
  const regions = (await faultOf(platform.create("acme"))).message;
  expect(regions).toContain("Name a region. Known are: eu-west-1, us-east-1");
  await revokeHost(platform.control, tester, { host: west, reason: "" });
  expect(await platform.create("acme")).toMatchObject({ region: "us-east-1" });
  await remove("west");
  expect(await platform.create("globex")).toMatchObject({ region: "us-east-1" });
  expect((await listRegions(platform.control)).map(({ hosts }) => hosts)).toEqual([0, 1]);
});
