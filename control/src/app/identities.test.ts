/** Tokens, certificates and their end, as the catalogue keeps them. */
import { randomBytes } from "node:crypto";
import { sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { purge } from "../reconcilers/purge.ts";
import { listEvents } from "./events.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { getHost } from "./hosts.ts";
import {
  listGateways,
  listJoinTokens,
  recordCertificate,
  requireStanding,
  revokeGateway,
  revokeHost,
  revokeJoinToken,
} from "./identities.ts";
import { createJoinToken, join, type NewJoinToken } from "./joining.ts";
import { getTenant, listTenants } from "./tenant-view.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server);
});
afterEach(() => platform.close());

const NEW_HOST: NewJoinToken = { kind: "host", region: "us-east-1", ttlSeconds: 0 };
const DAY_MS = 86_400_000;

async function tokenFor(ask: Partial<NewJoinToken> = {}) {
  const { id, secret } = await createJoinToken(platform.control, tester, { ...NEW_HOST, ...ask });
  return { tokenId: id, secret, publicKeySha256: randomBytes(32), name: "h1" };
}

/** A certificate as it is recorded when it is issued. */
async function certificateFor(id: string, issuedAt = new Date()) {
  const serial = randomBytes(16).toString("hex").toUpperCase();
  const expiresAt = new Date(issuedAt.getTime() + 7 * DAY_MS);
  const publicKeySha256 = randomBytes(32);
  await recordCertificate(platform.control, { serial, subject: id, publicKeySha256, expiresAt });
  return { kind: id.startsWith("hst") ? "host" : "gateway", id, serial, issuedAt };
}

function unknownCertificate(id: string, issuedAt: Date) {
  return { kind: "host", id, serial: "ABC", issuedAt };
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const { code, message } = await faultOf(work);
  expect(code).toBe("PERMISSION_DENIED");
  return message;
}

async function eventsOf(subject: string): Promise<string[]> {
  const rows = await platform.catalogue.database.query<{ kind: string }>(sql`
    select kind from events where subject = ${subject} order by id`);
  return rows.map(({ kind }) => kind);
}

test("a token's labels become the host's", async () => {
  const { id } = await join(platform.control, await tokenFor({ labels: { rack: "a1" } }));
  expect((await getHost(platform.control, id)).labels).toEqual({ rack: "a1" });
  const refused = [{ a: "\n" }, { a: "" }, { a: "  " }, { "x y": "z" }, { "": "z" }, { "-x": "z" }];
  for (const labels of refused) {
    const wrong = createJoinToken(platform.control, tester, { ...NEW_HOST, labels });
    expect((await faultOf(wrong)).code, JSON.stringify(labels)).toBe("INVALID_ARGUMENT");
  }
});

test("tokens are listed until they are used, revoked or expired, and never with a secret", async () => {
  const [used, revoked, expired, left] = [
    await tokenFor(),
    await tokenFor(),
    await tokenFor(),
    await tokenFor({ kind: "gateway" }),
  ];
  expect(await listJoinTokens(platform.control)).toHaveLength(4);
  await join(platform.control, used);
  await revokeJoinToken(platform.control, tester, revoked.tokenId);
  await platform.catalogue.database.query(sql`
    update join_tokens set expires_at = now() where id = ${expired.tokenId}`);
  const tokens = await listJoinTokens(platform.control);
  expect(tokens).toMatchObject([{ id: left.tokenId, kind: "gateway", region: "" }]);
  expect(JSON.stringify(tokens)).not.toContain(left.secret);
});

test("a revoked token lets nobody join, nor anybody repeat, and is revoked once", async () => {
  const token = await tokenFor();
  await revokeJoinToken(platform.control, tester, token.tokenId);
  await refusal(join(platform.control, token));
  const used = await tokenFor();
  await join(platform.control, used);
  await revokeJoinToken(platform.control, tester, used.tokenId);
  await refusal(join(platform.control, used));
  for (const gone of [token.tokenId, "nonsense", "0".repeat(26)]) {
    const again = await faultOf(revokeJoinToken(platform.control, tester, gone));
    expect(again.code).toBe("JOIN_TOKEN_NOT_FOUND");
  }
});

test("a stolen token is worth nothing with another key, before and after a day", async () => {
  const token = await tokenFor();
  await join(platform.control, token);
  await refusal(join(platform.control, { ...token, publicKeySha256: randomBytes(32) }));
  await platform.catalogue.database.query(sql`
    update join_tokens set used_at = now() - interval '25 hours'`);
  await refusal(join(platform.control, token));
});

test("a token for a gateway makes no host, nor the other way round, and is not spent by trying", async () => {
  const forGateway = await tokenFor({ kind: "gateway" });
  await refusal(join(platform.control, { ...forGateway, kind: "host" }));
  expect(await join(platform.control, { ...forGateway, kind: "gateway" })).toMatchObject({
    kind: "gateway",
  });
  const forHost = await tokenFor();
  await refusal(join(platform.control, { ...forHost, kind: "gateway" }));
  expect(await join(platform.control, { ...forHost, kind: "host" })).toMatchObject({
    kind: "host",
  });
});

test("who is known already joins again by a token that names it, and by no other", async () => {
  const [host, other] = [await platform.addHost("one"), await platform.addHost("two")];
  await refusal(join(platform.control, { ...(await tokenFor()), heldId: host }));
  const again = await tokenFor({ rejoins: "one", region: "" });
  await refusal(join(platform.control, again));
  await refusal(join(platform.control, { ...again, heldId: other }));
  expect(await join(platform.control, { ...again, heldId: host })).toEqual({
    kind: "host",
    id: host,
  });
  expect(await eventsOf(host)).toEqual(["host.join", "host.rejoin"]);
  const unknown = createJoinToken(platform.control, tester, { ...NEW_HOST, rejoins: "three" });
  expect((await faultOf(unknown)).code).toBe("HOST_NOT_FOUND");
});

test("a revoked host has no standing, is not connected, and its tokens are gone with it", async () => {
  const agent = await platform.addAgent("one");
  const { id } = await getHost(platform.control, "one");
  const certificate = await certificateFor(id);
  await requireStanding(platform.control, certificate);
  const again = await tokenFor({ rejoins: id });
  const ask = { host: "one", reason: "stolen" };
  const { revokedAt } = await revokeHost(platform.control, tester, ask);
  expect(await refusal(requireStanding(platform.control, certificate))).toContain("was revoked on");
  const host = await getHost(platform.control, id);
  expect(host).toMatchObject({ connected: false, revokedReason: "stolen", revokedAt });
  expect(await platform.fleet.hostHeard(id, agent.token)).toBe(false);
  await refusal(join(platform.control, { ...again, heldId: id }));
  expect(await revokeHost(platform.control, tester, ask)).toEqual({ id, revokedAt });
  expect((await eventsOf(id)).filter((kind) => kind === "host.revoke")).toHaveLength(1);
});

test("a repeated join does not bring a revoked host back", async () => {
  const token = await tokenFor();
  const { id } = await join(platform.control, token);
  await revokeHost(platform.control, tester, { host: id, reason: "" });
  await refusal(join(platform.control, token));
});

test("a host that joins again is in force again, and every earlier certificate is not", async () => {
  const id = await platform.addHost("one");
  const hourAgo = new Date(Date.now() - 3_600_000);
  const earlier = await certificateFor(id, hourAgo);
  await revokeHost(platform.control, tester, { host: id, reason: "" });
  const again = { ...(await tokenFor({ rejoins: id })), heldId: id };
  await join(platform.control, again);
  const now = await certificateFor(id);
  await requireStanding(platform.control, now);
  expect(await refusal(requireStanding(platform.control, earlier))).toContain("has joined again");
  // The answer was lost: what was given out meanwhile stays good.
  await join(platform.control, again);
  await requireStanding(platform.control, now);
  expect(await getHost(platform.control, id)).toMatchObject({ revokedAt: null });
});

test("a certificate that the catalogue forgot is good, unless its host joined again since", async () => {
  const id = await platform.addHost("one");
  const forgotten = unknownCertificate(id, new Date(Date.now() - 60_000));
  await requireStanding(platform.control, forgotten);
  await join(platform.control, { ...(await tokenFor({ rejoins: id })), heldId: id });
  await refusal(requireStanding(platform.control, forgotten));
  await requireStanding(platform.control, unknownCertificate(id, new Date(Date.now() + 60_000)));
  const nobody = unknownCertificate("hst_01jc7w4x9dep8t3w8rj0sxv5n2", new Date());
  expect(await refusal(requireStanding(platform.control, nobody))).toContain("knows no host");
});

test("gateways hear that a host is revoked, its tenants say so, and a new join undoes it", async () => {
  await platform.addAgent("one");
  const { id } = await platform.create("acme");
  const { id: hostId } = await getHost(platform.control, "one");
  const before = await platform.fleet.routesWhole();
  expect(before.endpoints).toMatchObject([{ hostId, gone: false }]);
  const watch = platform.fleet.watchRoutes();
  const heard = platform.fleet.watchIdentity(hostId);
  await revokeHost(platform.control, tester, { host: hostId, reason: "" });
  await Promise.all([watch, heard].map((each) => each.changed(AbortSignal.timeout(5_000))));

  const change = await platform.fleet.routeChanges(before.generation);
  const toldOf = [{ hostId, gone: true, hostRevoked: true }];
  expect(change.endpoints).toMatchObject(toldOf);
  expect((await platform.fleet.routesWhole()).endpoints).toMatchObject(toldOf);
  expect((await getTenant(platform.control, id)).statusReason).toContain("Unreachable");
  for (const filter of [{}, { plan: "free" }, { namePrefix: "ac" }, { status: "active" }]) {
    const [tenant] = (await listTenants(platform.control, filter)).tenants;
    expect(tenant?.statusReason).toContain("its host was revoked");
  }

  await join(platform.control, { ...(await tokenFor({ rejoins: hostId })), heldId: hostId });
  const after = await platform.fleet.routeChanges(change.generation);
  expect(after.endpoints).toMatchObject([{ hostId, gone: false, hostRevoked: false }]);
  expect((await getTenant(platform.control, id)).statusReason).toBe("");
  watch.close();
  heard.close();
});

test("nothing is placed on a revoked host", async () => {
  await platform.addAgent("one");
  await revokeHost(platform.control, tester, { host: "one", reason: "" });
  expect((await faultOf(platform.create("acme"))).code).toBe("NO_FEASIBLE_HOST");
});

test("a gateway is revoked and joins again like a host", async () => {
  const id = await platform.addGateway("edge");
  const certificate = await certificateFor(id);
  const { revokedAt } = await revokeGateway(platform.control, tester, {
    gatewayId: id,
    reason: "",
  });
  await refusal(requireStanding(platform.control, certificate));
  expect(await listGateways(platform.control)).toMatchObject([{ id, name: "edge", revokedAt }]);
  const again = await tokenFor({ kind: "gateway", rejoins: id });
  expect(await join(platform.control, { ...again, heldId: id, kind: "gateway" })).toEqual({
    kind: "gateway",
    id,
  });
  await refusal(requireStanding(platform.control, certificate));
  await requireStanding(platform.control, await certificateFor(id));
  const unknown = revokeGateway(platform.control, tester, { gatewayId: "x", reason: "" });
  expect((await faultOf(unknown)).code).toBe("GATEWAY_NOT_FOUND");
});

test("nobody fills the catalogue with certificates, and those long expired are forgotten", async () => {
  const id = await platform.addHost("one");
  await platform.catalogue.database.query(sql`
    insert into certificates (serial, subject, public_key_sha256, expires_at)
    select lpad(n::text, 8, '0') || 'F', ${id}, ${Buffer.alloc(32)}, now() - interval '2 days'
      from generate_series(1, 1000) n`);
  expect((await faultOf(certificateFor(id))).code).toBe("UNAVAILABLE");
  await purge(platform.control);
  const certificate = await certificateFor(id);
  await purge(platform.control);
  await requireStanding(platform.control, certificate);
});

test("a clock that goes wrong is an event, and another when it is right again", async () => {
  const { token } = await platform.addAgent("one");
  const { id } = await getHost(platform.control, "one");
  const heard = (ms: number | undefined, host: HostId = id) =>
    platform.fleet.hostHeard(host, token, ms);
  expect((await getHost(platform.control, id)).clockOffsetMs).toBeNull();
  for (const ms of [120, 7_000, undefined, -8_000, -4_000]) expect(await heard(ms)).toBe(true);
  expect((await getHost(platform.control, id)).clockOffsetMs).toBe(-4_000);
  const kinds = (await eventsOf(id)).filter((kind) => kind.startsWith("host.clock"));
  expect(kinds).toEqual(["host.clock_wrong", "host.clock_right"]);
});

test("two agents with the identity of a host are an event that says where both run", async () => {
  const id = await platform.addHost("one");
  const agent = {
    id: "a",
    address: "10.0.0.1:7",
    edgeAddress: "10.0.0.1:1",
    agentVersion: "0.1.0",
  };
  const refused = { ...agent, id: "b", address: "10.0.0.2:7" };
  await platform.fleet.hostConflicted(id, { kept: agent, refused });
  const { events } = await listEvents(platform.control, { kind: "host.conflict" });
  expect(events).toMatchObject([
    {
      ...{ actor: "system", subject: id },
      after: {
        kept: { address: "10.0.0.1:7", edge_address: "10.0.0.1:1", agent_version: "0.1.0" },
        refused: { address: "10.0.0.2:7" },
      },
    },
  ]);
});
