/**
 * Kills control at each step of acting on quotas that its source names, and expects that whoever
 * comes after it ends what was begun, and does it once.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  openPlatform,
  type PlatformFixture,
  startCatalogue,
} from "../../control/src/app/fake-platform.ts";
import { getHost } from "../../control/src/app/hosts.ts";
import { rollUpUsage } from "../../control/src/app/usage-records.ts";
import type { Piece } from "../piece-process.ts";
import { until } from "../until.ts";
import { isDead, startControlAlone } from "./control-alone.ts";
import { failpointsOf } from "./failpoints.ts";

// A process starts and ends several times.
vi.setConfig({ testTimeout: 240_000 });

const STEPS = failpointsOf("control").filter((name) => name.startsWith("control.quotas."));
const KEY = "adb_key_of_the_quota_test_0123456789";
const PATIENCE_MS = 30_000;

let server: CatalogueServer;
let home: string;
beforeAll(async () => {
  server = await startCatalogue();
  home = mkdtempSync(join(tmpdir(), "aerodb-quotas-"));
});
afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true, force: true });
});

function startControl(platform: PlatformFixture, failpoints: string): Piece {
  const catalogueUrl = platform.catalogue.url;
  return startControlAlone({ catalogueUrl, home, platformKey: KEY, failpoints });
}

/** A tenant that stores 1,200 bytes, on a host whose agent does as it is told. */
async function openScene(): Promise<{ platform: PlatformFixture; tenantId: TenantId }> {
  const platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
  const { id: tenantId } = await platform.create("acme");
  const { id } = await getHost(platform.control, "h1");
  const [startedAt, endedAt] = [now(), now()];
  const reading = { sequence: 1n, meter: "storage_bytes", tenantId, value: 1_200n } as const;
  await platform.fleet.takeUsage(id, [{ ...reading, startedAt, endedAt }]);
  await rollUpUsage(platform.control);
  return { platform, tenantId };
}

/** Asks once, and tells whether there was an answer: it gets lost with who was to give it. */
async function isQuotaSet(control: Piece, quota: number): Promise<boolean> {
  const { apiPort = 0 } = await control.ready;
  const path = "aerodb.control.v1.QuotaService/SetTenantQuotas";
  const overrides = [{ resource: "storage_bytes", quota: String(quota) }];
  return fetch(`http://127.0.0.1:${apiPort}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ tenant: "acme", overrides, grace: { seconds: "0" } }),
  }).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** Has the job done as the clock would, by who is there, until the tenant is as it should be. */
async function becomes(platform: PlatformFixture, status: string): Promise<void> {
  const { database } = platform.catalogue;
  await until(
    `the tenant to be ${status}`,
    async () => {
      await database
        .query(sql`select graphile_worker.add_job('roll_up_usage', job_key => 'roll_up_usage')`)
        // Before the jobs have made their tables this fails.
        .catch(() => undefined);
      const [tenant] = await database.query<{ status: string; open: number }>(sql`
        select status, (select count(*) from operations where done_at is null)::integer as open
          from tenants where name = 'acme'`);
      return tenant?.status === status && tenant.open === 0;
    },
    PATIENCE_MS,
  );
}

test.for(["", ...STEPS])("killed at %j, it suspends once and reinstates once", async (step) => {
  const { platform, tenantId } = await openScene();
  const { database } = platform.catalogue;
  let control = startControl(platform, step === "" ? "" : `${step}=kill`);
  let killed = 0;
  for (const [quota, status] of [
    [1_000, "suspended"],
    [10_000, "active"],
  ] as const) {
    if (!(await isQuotaSet(control, quota))) {
      const dead = control;
      await until(`control to be killed at ${step}`, async () => isDead(dead));
      killed += 1;
      control = startControl(platform, "");
      await control.ready;
    }
    await becomes(platform, status);
  }

  expect(killed).toBe(step === "" ? 0 : 1);
  const events = await database.query<{ kind: string }>(sql`
    select kind from events where subject = ${tenantId} and actor = 'system' order by id`);
  expect(events.map(({ kind }) => kind)).toEqual([
    ...["quota.reached", "tenant.refuse_writes", "tenant.suspend"],
    ...["quota.within", "tenant.accept_writes", "tenant.reinstate"],
  ]);
  const operations = await database.query<{ kind: string; error: string }>(sql`
    select kind, error from operations where kind like '%s%tenant' and kind <> 'create_tenant'
     order by created_at`);
  expect(operations).toEqual([
    { kind: "suspend_tenant", error: "" },
    { kind: "reinstate_tenant", error: "" },
  ]);
  await control.stop();
  await platform.close();
});
