/**
 * A platform for tests: a fresh catalogue, control's use cases over it, and hosts with fake agents.
 */
import { fileURLToPath } from "node:url";
import { type Database, sql } from "@aerodb/db";
import { Fault, type GatewayId, type HostId } from "@aerodb/model";
import { silent } from "@aerodb/runtime";
import {
  type Catalogue,
  type CatalogueServer,
  startCatalogueServer,
  type ThrowawayOptions,
} from "@aerodb/testkit";
import { startChanges } from "./changes.ts";
import type { Caller, Control, ControlSettings, RouteAcknowledgements } from "./control.ts";
import { type FakeAgent, type FakeAgentOptions, startFakeAgent } from "./fake-agent.ts";
import { type Fleet, openFleet } from "./fleet.ts";
import { createJoinToken, join } from "./joining.ts";
import type { NewTenant } from "./tenant-request.ts";
import { openTenants, type Tenants } from "./tenants.ts";

const MIGRATIONS = fileURLToPath(new URL("../../migrations", import.meta.url));
export const tester: Caller = { principal: "key_tester", requestId: "req_1" };

export function startCatalogue(options: ThrowawayOptions = {}): Promise<CatalogueServer> {
  return startCatalogueServer(MIGRATIONS, options);
}

/** What to ask for where a test does not care. */
export function askFor(name: string, over: Partial<NewTenant> = {}): NewTenant {
  const rest = { plan: "free", region: "", isolation: "", labels: {}, requestId: "" };
  return { name, ...rest, ...over };
}

/** The fault that something ends with. */
export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof Fault) return thrown;
  throw thrown ?? new Error("a fault was expected");
}

export interface PlatformFixture {
  readonly catalogue: Catalogue;
  readonly control: Control;
  readonly tenants: Tenants;
  readonly fleet: Fleet;
  /** Generations that were waited for at the gateways. */
  readonly covered: readonly bigint[];
  create(name: string, over?: Partial<NewTenant>): ReturnType<Tenants["create"]>;
  remove(name: string): ReturnType<Tenants["remove"]>;
  addHost(name: string, region?: string): Promise<HostId>;
  addGateway(name: string): Promise<GatewayId>;
  /** A host with an agent that does as it is told. */
  addAgent(name: string, options?: Partial<FakeAgentOptions>): Promise<FakeAgent>;
  count(table: "tenants" | "instances" | "operations"): Promise<number>;
  close(): Promise<void>;
}

const SETTINGS = {
  ...{ baseDomain: "localhost", publicHost: "127.0.0.1" },
  ...{ publicPort: 6432, publicPooledPort: 6543 },
};

export async function openPlatform(
  server: CatalogueServer,
  settings: Partial<ControlSettings> = {},
): Promise<PlatformFixture> {
  const catalogue = await server.fresh();
  const stopping = new AbortController();
  const changes = await startChanges({
    url: catalogue.url,
    logger: silent,
    signal: stopping.signal,
  });
  const covered: bigint[] = [];
  const acknowledgements: RouteAcknowledgements = {
    covers(generation) {
      covered.push(generation);
      return Promise.resolve();
    },
  };
  const control: Control = {
    database: catalogue.database,
    changes,
    acknowledgements,
    settings: { ...SETTINGS, ...settings },
    logger: silent,
  };
  const tenants = openTenants(control);
  const fleet = openFleet(control);
  const agents: FakeAgent[] = [];
  const never = new AbortController().signal;

  async function addJoiner(kind: "host" | "gateway", name: string, region = "us-east-1") {
    const token = await createJoinToken(control, tester, { kind, region, ttlSeconds: 0 });
    const publicKeySha256 = Buffer.alloc(32, name);
    const { id, secret } = token;
    return join(control, { tokenId: id, secret, publicKeySha256, name });
  }

  async function addHost(name: string, region?: string): Promise<HostId> {
    return (await addJoiner("host", name, region)).id as HostId;
  }

  return {
    catalogue,
    control,
    tenants,
    fleet,
    covered,
    create: (name, over) => tenants.create(tester, askFor(name, over), never),
    remove: (name) => tenants.remove(tester, name, never),
    addHost,
    async addGateway(name) {
      return (await addJoiner("gateway", name)).id as GatewayId;
    },
    async addAgent(name, options = {}) {
      const hostId = options.hostId ?? (await addHost(name));
      const agent = await startFakeAgent(fleet, { ...options, hostId });
      agents.push(agent);
      return agent;
    },
    count: (table) => countRows(catalogue.database, table),
    async close() {
      for (const agent of agents) await agent.stop();
      stopping.abort();
      await catalogue.close();
    },
  };
}

async function countRows(
  database: Database,
  table: "tenants" | "instances" | "operations",
): Promise<number> {
  const [row] = await database.query<Record<typeof table, number>>(sql`
    select (select count(*) from tenants)::integer as tenants,
           (select count(*) from instances)::integer as instances,
           (select count(*) from operations)::integer as operations`);
  return row?.[table] ?? 0;
}
