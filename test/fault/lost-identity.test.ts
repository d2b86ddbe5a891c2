/** A platform whose certificates are worth nothing any more comes back by itself. */
import { join } from "node:path";
import { type Identity, lifeOf, loadIdentity, saveIdentity } from "@aerodb/identity";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { now } from "@aerodb/runtime";
import { expect, test, vi } from "vitest";
import { type Platform, platformOfThisTest } from "../platform.ts";

const DAY_MS = 86_400_000;

function directories({ home }: Platform): readonly string[] {
  return [join(home, "state/agents/agent-1/identity"), join(home, "gateway")];
}

/** Puts an expired certificate, of the platform's own authority, in the place of the one held. */
async function expire(platform: Platform, directory: string): Promise<Identity> {
  const held = loadIdentity(directory) ?? expect.fail(`${directory} holds no identity`);
  const authority = await openCertificateAuthority(join(platform.home, "control/ca"));
  vi.useFakeTimers({ toFake: ["Date"], now: now().getTime() - 9 * DAY_MS });
  try {
    const { kind, id } = held;
    const ask = { peer: { kind, id }, dnsNames: [], ipAddresses: [], validForDays: 7 };
    const expired = { ...held, ...(await authority.issue(ask)) };
    saveIdentity(directory, expired);
    return expired;
  } finally {
    vi.useRealTimers();
  }
}

test("hosts and gateways whose certificates expired meanwhile join again as who they were", async () => {
  const platform = await platformOfThisTest();
  const tenant = await platform.createTenant({ name: "before", plan: "pro" });
  await platform.stop();
  const expired = await Promise.all(
    directories(platform).map((directory) => expire(platform, directory)),
  );
  for (const { certificate } of expired) {
    expect(lifeOf(certificate).expiresAt.getTime()).toBeLessThan(now().getTime());
  }

  await platform.start();
  const again = directories(platform).map((directory) => loadIdentity(directory));
  expect(again.map((identity) => identity?.id)).toEqual(expired.map(({ id }) => id));
  for (const identity of again) {
    const { expiresAt } = lifeOf(identity?.certificate ?? "");
    expect(expiresAt.getTime()).toBeGreaterThan(now().getTime() + 6 * DAY_MS);
  }
  const client = await platform.connect(tenant.connection.uri);
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await platform.createTenant({ name: "after", plan: "pro" });
  await platform.settled();
});

test("a host that was removed joins as another when its platform starts again", async () => {
  const platform = await platformOfThisTest();
  const { hosts } = (await platform.request("GET", "/v1/hosts")).body;
  const path = `/v1/hosts/${hosts[0].host_id}`;
  expect((await platform.request("POST", `${path}:revoke`, { reason: "test" })).status).toBe(200);
  expect((await platform.request("DELETE", path)).status).toBe(200);
  await platform.stop();
  await platform.start();
  const [other] = (await platform.request("GET", "/v1/hosts")).body.hosts;
  expect(other).toMatchObject({ name: "agent-1", connected: true });
  expect(other.host_id).not.toBe(hosts[0].host_id);
  const tenant = await platform.createTenant({ name: "after" });
  const client = await platform.connect(tenant.connection.uri);
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
});
