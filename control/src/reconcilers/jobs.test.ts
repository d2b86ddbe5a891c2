import { sql } from "@aerodb/db";
import { sleep } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPlatform, startCatalogue } from "../app/fake-platform.ts";
import { startJobs } from "./jobs.ts";

let server: CatalogueServer;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());

test("several controls share the jobs, and an overdue create is given up", async () => {
  const platform = await openPlatform(server, { operationMs: 0 });
  await platform.addAgent("h1", { reports: false });
  const create = platform.create("acme").catch(() => undefined);
  const { url, database } = platform.catalogue;
  const jobs = [1, 2].map(() => startJobs(platform.control, { url }));
  await untilTrue(async () => (await platform.count("tenants")) === 1);
  await untilTrue(async () => {
    // Asks for the job as the clock would; before the jobs have made their tables this fails.
    await database.query(sql`select graphile_worker.add_job('give_up_overdue')`);
    return (await platform.tenants.get("acme")).status === "deleting";
  });
  await Promise.all(jobs.map((each) => each.stop()));
  expect(await platform.tenants.get("acme")).toMatchObject({ status: "deleting" });
  await create;
  await platform.close();
});

async function untilTrue(look: () => Promise<boolean>): Promise<void> {
  for (;;) {
    if (await look().catch(() => false)) return;
    await sleep(100);
  }
}
