/** What a host found by itself, as control hears of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HelloSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { silent } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  ControlStandIn,
  instanceIn,
  reports,
  tenantIn,
  wireInstance,
  wireTenant,
} from "./control-stand-in.ts";
import { FakeHost } from "./drivers/fake-host.ts";
import { Host } from "./host.ts";
import { openLink } from "./open-link.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";

const instance = sampleInstance({ generation: 3n });
const tenant = sampleTenant(instance.spec.id, { generation: 4n });
const { id } = instance.spec;

let home: string;
let control: ControlStandIn;
let machine: FakeHost;
let freeBytes: number;
let agent: Awaited<ReturnType<typeof startAgent>>;

async function startAgent(port: number) {
  const life = new AbortController();
  const host = new Host({
    ...{ home, driver: machine, tenants: () => machine },
    hostDisk: async () => ({ freeBytes, reserveBytes: 1_000 }),
    ...{ logger: silent, signal: life.signal },
  });
  await host.start();
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const hello = (generation: bigint) => create(HelloSchema, { agentVersion: "t", generation });
  const run = openLink({ host, client, hello, logger: silent, signal: life.signal }).run();
  return {
    host,
    async stop() {
      life.abort();
      await Promise.all([run, host.reconciler.idle()]);
      client.close();
      host.close();
    },
  };
}

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "agent-ends-"));
  control = new ControlStandIn();
  machine = new FakeHost({ room: 10 });
  freeBytes = 5_000;
  agent = await startAgent(await control.listen());
  await control.hears("hello", ([first]) => first);
  const [instances, tenants] = [[wireInstance(instance)], [wireTenant(tenant)]];
  control.say({
    case: "desired",
    value: { generation: 4n, whole: true, instances, tenants },
  });
  await control.hears("the tenant", (heard) => tenantIn(heard, tenant.tenantId));
  await agent.host.reconciler.idle();
});

afterEach(async () => {
  await agent.stop();
  control.close();
  rmSync(home, { recursive: true });
});

const lastEnd = () => instanceIn(control.heard, id)?.lastEnd;

test("a server that ended by itself is told of with its last words, and each with a new number", async () => {
  expect(lastEnd()).toBeUndefined();
  machine.kill(id);
  const first = await control.hears("an end", lastEnd);
  expect(first).toMatchObject({ hung: false, reason: expect.stringContaining("killed") });
  await agent.host.reconciler.idle();
  machine.kill(id);
  const isNext = () => ((lastEnd()?.number ?? 0n) > first.number ? lastEnd() : undefined);
  const second = await control.hears("another end", isNext);

  // A new stream tells of it again, under its number.
  const before = control.heard.length;
  control.hangUp();
  const again = () => instanceIn(control.heard.slice(before), id)?.lastEnd;
  expect((await control.hears("it again", again)).number).toBe(second.number);
});

test("a server that answered nobody and was ended is told of as hung", async () => {
  const running = agent.host.state.seen(id)?.running;
  if (running === undefined) throw new Error("bug: the instance does not run");
  await agent.host.reconciler.end(running, "It answered nobody.");
  const end = await control.hears("an end", lastEnd);
  expect(end).toMatchObject({ hung: true, reason: "It answered nobody." });
});

test("a restart that was ordered, and an end, are no news", async () => {
  const spec = { ...instance.spec, restartGeneration: 5n };
  const restarted = wireInstance({ ...instance, generation: 5n, spec });
  control.say({
    case: "desired",
    value: { generation: 5n, baseGeneration: 4n, instances: [restarted] },
  });
  await control.hears("the restart", (heard) => {
    const seen = instanceIn(heard, id);
    return seen?.generation === 5n && seen.socketDirectory !== "" ? seen : undefined;
  });
  await agent.host.reconciler.idle();
  expect(lastEnd()).toBeUndefined();
  expect(agent.host.ends.last(id)).toBeUndefined();
});

test("every report says whether the disk is full, and one is sent when that turns", async () => {
  const disk = () => reports(control.heard).at(-1)?.diskFull;
  expect(disk()).toBe(false);
  for (const [free, full] of [
    [0, true],
    [900, false],
  ] as const) {
    freeBytes = free;
    await agent.host.fill.checkHost();
    await control.hears("the disk", () => (disk() === full ? true : undefined));
  }
});
