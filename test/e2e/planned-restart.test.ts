/** A server is restarted while its applications are at work, and they do not notice. */
import { beforeAll, describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import type { Tenant } from "../platform-client.ts";
import { isInstalled, run } from "../program.ts";

const RESTARTS = Number(process.env["RESTARTS"] ?? 3);
const platform = usePlatform();
let tenant: Tenant;

beforeAll(async () => {
  tenant = await platform().createTenant({ name: "steady-co", plan: "pro" });
});

async function restart(): Promise<void> {
  const { status } = await platform().request("POST", "/v1/tenants/steady-co:restart");
  expect(status).toBe(200);
}

describe.runIf(isInstalled("pgbench"))("pgbench", () => {
  test.each([
    ["session", ["-M", "prepared"]],
    ["session", ["-M", "extended"]],
    ["session", ["-M", "simple", "-C"]],
    ["pooled", ["-M", "prepared"]],
    ["pooled", ["-M", "simple"]],
  ])("by the %s port, with %j, loses no transaction", { timeout: 120_000 }, async (port, words) => {
    const { uri, pooled_uri } = tenant.connection;
    const at = port === "pooled" ? pooled_uri : uri;
    const made = await run("pgbench", ["-i", "-q", at]);
    expect(made.code, made.stderr).toBe(0);
    const client = await platform().connect(uri);
    const seconds = 3 + RESTARTS;
    // A thread for each: one that waits to connect would keep another's transaction open.
    const clients = ["-c", "4", "-j", "4", "-T", String(seconds)];
    const load = run("pgbench", ["-n", ...clients, ...words, at]);
    let over = false;
    void load.finally(() => {
      over = true;
    });
    let restarts = 0;
    for (; restarts < RESTARTS && !over; restarts += 1) await restart();
    const { code, stdout, stderr } = await load;
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("number of failed transactions: 0 (");
    // On a busy machine there was no time for all of them.
    expect(restarts).toBeGreaterThan(0);
    // It commits each to the history: what it counts is what there is.
    const counted = Number(/transactions actually processed: (\d+)/.exec(stdout)?.[1]);
    const { rows } = await client.query("select count(*)::int as n from pgbench_history");
    expect(rows).toEqual([{ n: counted }]);
    await client.end();
  });
});
