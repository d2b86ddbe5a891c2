/** Who is connected, as an operator on the machine is told. */
import { statSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ThrowawayPlatform, type ThrowawayTenant } from "./throwaway-platform.ts";
import type { ConnectionLine } from "./wire/connections.ts";
import { connectTo } from "./wire/fake-client.ts";

let platform: ThrowawayPlatform;
let acme: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation: 5n });
  await platform.startGateway();
  await platform.followed(5n);
});
afterAll(() => platform.remove());

function socketPath(): string {
  return join(platform.directory, "gateway", "admin.sock");
}

function ask(path: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socketPath(), path }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

async function listed(): Promise<readonly ConnectionLine[]> {
  const { body } = await ask("/connections");
  return (JSON.parse(body) as { readonly connections: readonly ConnectionLine[] }).connections;
}

test("connections of both ports are listed while they are open, with what they carried", async () => {
  const { pgPort = 0, pgPooledPort = 0 } = platform.gateway ?? {};
  const direct = await connectTo(pgPort, acme, { application_name: "reports" });
  const pooled = await connectTo(pgPooledPort, acme, { application_name: "web" });
  await direct.query("select repeat('x', 5000)");
  const busy = pooled.query("select pg_sleep(0.5)");
  await expect
    .poll(async () => (await listed()).map(({ state }) => state))
    .toEqual(["idle", "active"]);
  const [first, second] = await listed();
  expect(first).toMatchObject({
    ...{ tenant: "acme", tenantId: acme.tenantId, port: "session", application: "reports" },
    ...{ address: "127.0.0.1", encrypted: false, transactions: 1 },
  });
  expect(first?.egressBytes).toBeGreaterThan(5_000);
  expect(second).toMatchObject({ port: "pooled", application: "web", transactions: 0 });
  await busy;
  await Promise.all([direct.end(), pooled.end()]);
  await expect.poll(listed).toEqual([]);
});

test("nobody but the owner of the home may ask, and only what there is", async () => {
  expect(statSync(socketPath()).mode & 0o777).toBe(0o600);
  expect((await ask("/secrets")).status).toBe(404);
});
