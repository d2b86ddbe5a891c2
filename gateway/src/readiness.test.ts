/** Whether a gateway says that it serves, with control and without it. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "./gateway.ts";
import { throwawayIdentity } from "./throwaway-identity.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "./throwaway-platform.ts";
import { connectTo } from "./wire/fake-client.ts";

let platform: ThrowawayPlatform;
let acme: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation: 3n });
});
afterAll(() => platform.remove());

async function askedOf({ restPort }: Gateway): Promise<Record<string, unknown>> {
  const response = await fetch(`http://127.0.0.1:${restPort}/readyz`);
  return { status: response.status, ...((await response.json()) as object) };
}

test("control takes no gateway with it that has a table, and helps none that has none", async () => {
  const before = await platform.startGateway();
  await platform.followed(3n);
  platform.control.stop();
  const lost = expect.stringContaining("it serves by the table that it has");
  const served = { status: 200, ready: true, degraded: true };
  await expect
    .poll(() => askedOf(before))
    .toMatchObject({ ...served, reasons: expect.arrayContaining([lost]) });
  await platform.stopGateway();

  const again = await platform.startGateway();
  expect(await askedOf(again)).toMatchObject(served);
  await (await connectTo(again.pgPort, acme)).end();

  const home = join(platform.directory, "knows-nobody");
  const own = await throwawayIdentity(platform.authority);
  const ignorant = await platform.startGateway({ home }, own);
  const refused = await askedOf(ignorant);
  expect(refused).toMatchObject({ status: 503, ready: false });
  expect(String(refused["reasons"])).toContain("has not heard from control yet");
  await ignorant.stop();
  await platform.stopGateway();
});

test("neither a control that is gone nor one that hangs keeps it from its table, beside others", async () => {
  const siblings = { siblingsDirectory: join(platform.directory, "siblings") };
  const port = platform.control.port;
  const silent: Socket[] = [];
  const hangs = createServer((socket) => silent.push(socket)).listen(0, "127.0.0.1");
  await once(hangs, "listening");
  for (const away of [port, (hangs.address() as AddressInfo).port]) {
    platform.control.port = away;
    const gateway = await platform.startGateway(siblings);
    expect(await askedOf(gateway)).toMatchObject({ status: 200, ready: true, degraded: true });
    await (await connectTo(gateway.pgPort, acme)).end();
    await platform.stopGateway();
  }
  expect(silent).not.toHaveLength(0);
  for (const socket of silent) socket.destroy();
  hangs.close();
  platform.control.port = port;
});
