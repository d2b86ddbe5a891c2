import { sql } from "@aerodb/db";
import { Fault } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { giveUpOverdue } from "../reconcilers/overdue.ts";
import { findDisagreements } from "../store/consistency.ts";
import { openPlatform, startCatalogue, tester } from "./fake-platform.ts";

let server: CatalogueServer;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());

test("creates, deletions, rotations and changes at once end in a catalogue that agrees", async () => {
  const platform = await openPlatform(server);
  const agents = [await platform.addAgent("h1"), await platform.addAgent("h2")];
  const never = new AbortController().signal;
  const refused = new Set<string>();

  async function attempt(work: Promise<unknown>): Promise<void> {
    await work.catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error;
      refused.add(error.code);
    });
  }

  async function worker(number: number): Promise<void> {
    for (let round = 0; round < 12; round += 1) {
      const name = `tenant-${(number * 7 + round * 3) % 10}`;
      const plan = (number + round) % 2 === 0 ? "free" : "pro";
      await attempt(platform.create(name, { plan }));
      await attempt(platform.tenants.rotate(tester, name, never));
      await attempt(platform.tenants.update(tester, name, { plan: "pro", labels: { a: "b" } }));
      if (round % 3 === 0) await giveUpOverdue(platform.control);
      if ((number + round) % 3 !== 0) await attempt(platform.remove(name));
    }
  }

  await Promise.all(Array.from({ length: 12 }, (_, number) => worker(number)));
  expect(await findDisagreements(platform.catalogue.database)).toEqual([]);
  const open = await platform.catalogue.database.query(sql`
    select id from operations where done_at is null`);
  expect(open).toEqual([]);
  const { tenants } = await platform.tenants.list({ pageSize: 1_000 });
  const held = agents.flatMap((agent) => [...agent.tenants.keys()]);
  expect(held.sort()).toEqual(tenants.map(({ id }) => id).sort());
  const expected = ["TENANT_NAME_EXISTS", "TENANT_NOT_FOUND", "TENANT_NOT_ACTIVE", "SUPERSEDED"];
  expect([...expected, "OPERATION_FAILED"]).toEqual(expect.arrayContaining([...refused]));
  await platform.close();
}, 60_000);
