/** An instance that is parked again before whoever was held has come back to it. */
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo } from "./fake-client.ts";
import { setParked as tellParked } from "./throwaway-parking.ts";

const WAKE_DEADLINE_MS = 600;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let generation = 5n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation });
  gateway = await platform.startGateway({ wakeDeadlineMs: WAKE_DEADLINE_MS });
  await platform.followed(generation);
});
afterAll(() => platform.remove());

function setParked(parked: boolean): Promise<void> {
  generation += 1n;
  return tellParked(platform, acme, { generation, parked });
}

test("who waits for an instance has its time anew when that is parked again", async () => {
  const client = await connectTo(gateway.pgPort, acme);
  await client.query("set work_mem = '5MB'");
  platform.edge.onWake = () => sleep(WAKE_DEADLINE_MS * 2);
  await setParked(true);
  const held = client.query("select current_setting('work_mem') as m");
  await sleep(200);
  await platform.instance.postmaster.stop("fast");
  await setParked(false);
  await sleep(WAKE_DEADLINE_MS / 3);
  await setParked(true);
  await sleep(WAKE_DEADLINE_MS * 1.5);
  await platform.instance.restart();
  await setParked(false);
  expect((await held).rows).toEqual([{ m: "5MB" }]);
  await client.end();
});
