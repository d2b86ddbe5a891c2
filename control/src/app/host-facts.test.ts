import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type FakeAgent, sampleFacts, startFakeAgent } from "./fake-agent.ts";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import type { HostFacts, HostFingerprint } from "./host-facts.ts";
import { describeHost, listHosts } from "./hosts.ts";

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

const DISK = { holds: ["instances"], type: "xfs", sizeMiB: 10_240, freeMiB: 9_000, reflink: true };
const KNOWN: Partial<HostFingerprint> = {
  foundEngines: [{ version: "18.3", origin: "system", floor: "18.4", meetsFloor: false }],
  fileSystems: [DISK],
  controlGroups: { version: 2, controllers: ["cpu", "memory"] },
  docker: { version: "20.10.24", apiVersion: "1.41" },
};

/** Sends facts over the session that an agent has. */
async function tell(agent: FakeAgent, facts: HostFacts): Promise<boolean> {
  const { id } = await describeHost(platform.control, "h1");
  return platform.fleet.takeHostFacts(id, agent.token, facts);
}

async function events() {
  return platform.catalogue.database.query<{ before: object | null; after: object | null }>(sql`
    select before, after from events where kind = 'host.fingerprint' order by id`);
}

test("what an agent says of its host is kept, word for word", async () => {
  const { fingerprint } = sampleFacts({ fingerprint: KNOWN });
  await platform.addAgent("h1", { fingerprint, capabilities: ["reflink"] });
  const host = await describeHost(platform.control, "h1");
  expect(host.fingerprint).toEqual(fingerprint);
  expect(host).toMatchObject({
    capabilities: ["reflink"],
    capacity: { memoryMiB: 65_536, cpuMillis: 64_000, storageMiB: 10_240 },
  });
});

test("a host whose agent never dialled has no fingerprint and no capacity", async () => {
  await platform.addHost("h1");
  const host = await describeHost(platform.control, "h1");
  expect(host.fingerprint).toBeUndefined();
  expect(host.capacity).toEqual({ memoryMiB: 0, cpuMillis: 0, storageMiB: 0 });
});

test("a change is kept with what it was before, and free space alone makes no event", async () => {
  const agent = await platform.addAgent("h1", { fingerprint: KNOWN });
  expect(await events()).toHaveLength(1);
  const fuller = { ...KNOWN, fileSystems: [{ ...DISK, freeMiB: 10 }] };
  expect(await tell(agent, sampleFacts({ fingerprint: fuller }))).toBe(true);
  expect(await events()).toHaveLength(1);
  expect((await describeHost(platform.control, "h1")).fingerprint).toMatchObject(fuller);

  const grown = { ...fuller, memoryMiB: 131_072, docker: undefined };
  expect(await tell(agent, sampleFacts({ fingerprint: grown, capabilities: ["reflink"] }))).toBe(
    true,
  );
  expect((await events()).slice(1)).toEqual([
    {
      before: {
        memory_mib: 65_536,
        docker: { version: "20.10.24", api_version: "1.41" },
        capabilities: [],
      },
      after: { memory_mib: 131_072, docker: null, capabilities: ["reflink"] },
    },
  ]);
  const [host] = await listHosts(platform.control);
  expect(host?.capacity.memoryMiB).toBe(131_072);
});

test("an agent that dials again with the same facts makes no event", async () => {
  const agent = await platform.addAgent("h1", { fingerprint: KNOWN });
  await agent.stop();
  const { id: hostId } = await describeHost(platform.control, "h1");
  const again = await startFakeAgent(platform.fleet, { hostId, fingerprint: KNOWN });
  expect(await events()).toHaveLength(1);
  await again.stop();
});

test("an older session's facts are not taken", async () => {
  const agent = await platform.addAgent("h1");
  const { id: hostId } = await describeHost(platform.control, "h1");
  const newer = await startFakeAgent(platform.fleet, { hostId });
  expect(await tell(agent, sampleFacts({ fingerprint: { cores: 1 } }))).toBe(false);
  expect((await describeHost(platform.control, "h1")).fingerprint?.cores).toBe(64);
  await newer.stop();
});

test("text that the catalogue cannot keep is made fit", async () => {
  await platform.addAgent("h1", { fingerprint: { processor: "a\0b", kernel: "k".repeat(5_000) } });
  const { fingerprint } = await describeHost(platform.control, "h1");
  expect(fingerprint).toMatchObject({ processor: "a b", kernel: "k".repeat(200) });
});
