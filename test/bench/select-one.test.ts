/** What the gateway adds to a query: one connection through it and one past it, in turns. */

import { join } from "node:path";
import pg from "pg";
import { expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { agentDirectory, socketDirectoryOf } from "./bare-instance.ts";
import { distribution, ms, p50, report, timed } from "./figures.ts";

const ROUNDS = 20;
const QUERIES = 500;
const platform = usePlatform();

async function sample(client: pg.Client, into: number[]): Promise<void> {
  for (let count = 0; count < QUERIES; count += 1) {
    into.push(await timed(() => client.query("select 1")));
  }
}

test("select 1", { timeout: 120_000 }, async () => {
  const { connection } = await platform().createTenant({ name: "bench-wire", plan: "pro" });
  const [instanceId = ""] = platform().pieces().instances.keys();
  const data = join(agentDirectory(platform()), "instances", instanceId, "data");
  const through = await platform().connect(connection.uri);
  const past = new pg.Client({
    host: socketDirectoryOf(data),
    user: connection.user,
    password: connection.password,
    database: "aerodb",
  });
  await past.connect();
  const throughMs: number[] = [];
  const pastMs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await sample(past, pastMs);
    await sample(through, throughMs);
  }
  await past.end();
  report("select 1 over one connection", [
    { what: "through the gateway", measured: distribution(throughMs), reach: "-" },
    { what: "past it, by the unix socket", measured: distribution(pastMs), reach: "-" },
    { what: "added, p50", measured: ms(p50(throughMs) - p50(pastMs)), reach: "<= 0.3 ms" },
  ]);
  expect(throughMs.length).toBe(pastMs.length);
});
