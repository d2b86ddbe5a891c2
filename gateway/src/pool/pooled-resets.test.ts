/** Settings that a client asked for at its start are what RESET gives it back, as directly. */
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo } from "../wire/fake-client.ts";
import { servingAcme } from "./throwaway-pool.ts";

const NAMES = ["application_name", "TimeZone", "DateStyle", "statement_timeout", "search_path"];
const ASKED = "-c timezone=Asia/Tokyo -c datestyle=German -c statement_timeout=4321";
const VALUES = NAMES.map((name) => `current_setting('${name}')`).join(", ");
const SHOW = `select concat_ws('; ', ${VALUES}) as all`;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 8_000 }));
});
afterAll(() => platform.remove());

/** What a client sees of its settings after each statement, and was told of them at last. */
async function seen(port: number, statements: readonly (string | pg.QueryConfig)[]) {
  const client = await connectTo(port, acme, { application_name: "mine", options: ASKED });
  const told = new Map<string, string>();
  (client as unknown as { connection: pg.Client }).connection.on(
    "parameterStatus" as "end",
    ((status: Record<string, string>) => {
      told.set(status["parameterName"] ?? "", status["parameterValue"] ?? "");
    }) as () => void,
  );
  const all: unknown[] = [];
  const prepare = "set timezone = 'UTC'; set datestyle = 'ISO'; set application_name = 'other'";
  await client.query(prepare);
  all.push(await shown(client));
  for (const statement of statements) {
    all.push(await client.query(statement as string).then(({ command }) => command, String));
    all.push(await shown(client));
  }
  await client.end();
  return { all, told: NAMES.map((name) => told.get(name)) };
}

async function shown(client: pg.Client): Promise<unknown> {
  return client.query(SHOW).then(({ rows }) => rows, String);
}

test.each([
  ["reset all", ["reset all"]],
  ["discard all", ["discard all"]],
  ["reset of one", ["reset timezone", "RESET TIME ZONE", 'reset "datestyle"']],
  ["set to default", ["set timezone to default", "set application_name = default"]],
  ["the time zone", ["set time zone default"]],
  ["the extended protocol", [{ text: "reset all", values: [] }]],
  ["a prepared statement", [{ name: "again", text: "reset timezone" }]],
  ["a transaction", ["begin", "reset all", "commit"]],
  ["one that is undone", ["begin", "reset all", "rollback"]],
  ["one that fails", ["begin", "discard all", "rollback"]],
  ["a local one", ["begin", "set local timezone to default", "commit"]],
  ["what is not asked for", ["reset work_mem"]],
])("after %s settings are as they are directly", async (_what, statements) => {
  const direct = await seen(gateway.pgPort, statements);
  expect(await seen(gateway.pgPooledPort, statements)).toEqual(direct);
});
