import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HelloSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import {
  InstanceState,
  TenantState,
  UsageEventSchema,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { silent, sleep } from "@aerodb/runtime";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
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

let home: string;
let control: ControlStandIn;
let port: number;
let machine: FakeHost;
let agent: { readonly host: Host; stop(): Promise<void> };

async function startAgent(): Promise<typeof agent> {
  const life = new AbortController();
  const { signal } = life;
  const host = new Host({ home, driver: machine, tenants: () => machine, logger: silent, signal });
  await host.start();
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const hello = (generation: bigint) => create(HelloSchema, { agentVersion: "t", generation });
  const run = openLink({ host, client, hello, logger: silent, signal }).run();
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
  home = mkdtempSync(join(tmpdir(), "agent-link-"));
  control = new ControlStandIn();
  port = await control.listen();
  machine = new FakeHost({ room: 10 });
  agent = await startAgent();
  await control.hears("hello", ([first]) => first);
});

afterEach(async () => {
  await agent.stop();
  control.close();
  rmSync(home, { recursive: true });
});

const instance = sampleInstance({ generation: 3n });
const tenant = sampleTenant(instance.spec.id, { generation: 4n });

function sayWhole(generation = 4n): void {
  const value = {
    generation,
    whole: true,
    instances: [wireInstance(instance)],
    tenants: [wireTenant(tenant)],
  };
  control.say({ case: "desired", value });
}

async function tenantIsReady(): Promise<void> {
  await control.hears("the tenant to be ready", (heard) => {
    return tenantIn(heard, tenant.tenantId)?.state === TenantState.READY ? true : undefined;
  });
}

test("what control desires is made and reported with the generation it answers", async () => {
  expect(control.heard[0]).toMatchObject({ case: "hello", value: { generation: 0n } });
  sayWhole();
  await tenantIsReady();
  expect(tenantIn(control.heard, tenant.tenantId)).toMatchObject({ generation: 4n });
  expect(instanceIn(control.heard, instance.spec.id)).toMatchObject({
    generation: 3n,
    state: InstanceState.RUNNING,
    database: "aerodb",
    engine: "18.4",
  });
});

test("a host that control refuses asks seldom; one that only lost its stream dials at once", async () => {
  const dialsIn = async (code: number): Promise<number> => {
    control.refusal = code;
    control.hangUp();
    const before = control.dials;
    await sleep(2_500);
    return control.dials - before;
  };
  const passing = await dialsIn(status.UNAVAILABLE);
  expect(passing).toBeGreaterThan(3);
  for (const code of [status.PERMISSION_DENIED, status.FAILED_PRECONDITION]) {
    expect(await dialsIn(code)).toBeLessThan(passing);
  }
  control.refusal = undefined;
  const hellos = () => control.heard.filter((each) => each?.case === "hello").length;
  const before = hellos();
  await control.hears("the host to come back", () => (hellos() > before ? true : undefined));
});

test("an agent that is replaced again and again waits longer each time", async () => {
  const { dials } = control;
  control.replaced = true;
  control.hangUp();
  await sleep(4_000);
  // After 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 s; at once again each time it would be dozens.
  expect(control.dials - dials).toBeLessThan(9);
  control.replaced = false;
});

test("parts of a generation act once the last has come", async () => {
  const base = { generation: 4n, whole: true };
  control.say({
    case: "desired",
    value: { ...base, more: true, instances: [wireInstance(instance)] },
  });
  control.say({ case: "audit", value: { auditId: 7n } });
  await control.hears("the audit", (heard) => heard.find((each) => each.case === "audit"));
  expect(machine.contents).toEqual({});
  control.say({ case: "desired", value: { ...base, tenants: [wireTenant(tenant)] } });
  await tenantIsReady();
});

test("what is gone is forgotten once control has taken it in, and not before", async () => {
  sayWhole();
  await tenantIsReady();
  const gone = wireTenant({ ...tenant, present: false, generation: 5n });
  control.say({
    case: "desired",
    value: { generation: 5n, baseGeneration: 4n, tenants: [gone] },
  });
  await control.hears("the tenant to be gone", (heard) => {
    return tenantIn(heard, tenant.tenantId)?.state === TenantState.ABSENT ? true : undefined;
  });
  const { ledger } = agent.host;
  expect(ledger.entries().map(({ id }) => id)).toContain(tenant.tenantId);
  const sequence = reports(control.heard).at(-1)?.sequence ?? 0n;
  control.say({ case: "acknowledgement", value: { observedSequence: sequence } });
  control.say({ case: "audit", value: { auditId: 8n } });
  await control.hears("the audit", (heard) => heard.find((each) => each.case === "audit"));
  const told = ledger.entries().filter(({ kind }) => kind !== "kept");
  expect(told.map(({ id }) => id)).toEqual([instance.spec.id]);
});

test("the same generation with other contents ends the stream, and nothing of it is done", async () => {
  sayWhole();
  await tenantIsReady();
  const other = wireTenant({ ...tenant, present: false });
  control.say({
    case: "desired",
    value: { generation: 4n, whole: true, tenants: [other] },
  });
  await control.hears("a second hello", (heard) => {
    return heard.filter((each) => each.case === "hello")[1];
  });
  expect(machine.contents[instance.spec.id]?.tenants).toEqual([tenant.tenantId]);
});

test("an id that is none is refused, for ids become paths", async () => {
  const evil = wireInstance(instance);
  evil.instanceId = "../../etc";
  control.say({ case: "desired", value: { generation: 9n, whole: true, instances: [evil] } });
  await control.hears("a second hello", (heard) => {
    return heard.filter((each) => each.case === "hello")[1];
  });
  expect(machine.contents).toEqual({});
  expect(agent.host.ledger.generation).toBe(0n);
});

test("every stream begins with hello and a whole report, and no number comes twice", async () => {
  sayWhole();
  await tenantIsReady();
  const before = control.heard.length;
  control.hangUp();
  const [hello, whole] = await control.hears("a second stream", (heard) => {
    const again = heard.slice(before);
    return again.length >= 2 ? again : undefined;
  });
  expect(hello).toMatchObject({ case: "hello", value: { generation: 4n } });
  expect(whole).toMatchObject({
    case: "observed",
    value: {
      instances: [{ state: InstanceState.RUNNING }],
      tenants: [{ state: TenantState.READY }],
    },
  });
  const sequences = reports(control.heard).map(({ sequence }) => sequence);
  expect(sequences).toEqual([...new Set(sequences)].toSorted((a, b) => Number(a - b)));
});

test("without control an agent that starts again runs what it was last told", async () => {
  sayWhole();
  await tenantIsReady();
  await agent.stop();
  control.close();
  machine.kill(instance.spec.id);

  agent = await startAgent();
  await agent.host.reconciler.idle();
  expect(machine.contents[instance.spec.id]).toEqual({ runs: true, tenants: [tenant.tenantId] });
});

test("readings are sent again until they are acknowledged", async () => {
  const event = create(UsageEventSchema, { meter: "storage_bytes", value: 5n });
  agent.host.usage.append([toBinary(UsageEventSchema, event)]);
  const [kept] = agent.host.usage.after(0n, 1);
  const sequence = kept?.sequence ?? expect.fail("nothing is kept");
  control.hangUp();
  await control.hears("usage", (heard) => heard.find((each) => each.case === "usage"));
  control.hangUp();
  const [, second] = await control.hears("usage again", (heard) => {
    const found = heard.filter((each) => each.case === "usage");
    return found.length >= 2 ? found : undefined;
  });
  expect(second).toMatchObject({ value: { events: [{ sequence, value: 5n }] } });
  control.say({ case: "acknowledgement", value: { usageSequence: sequence } });
  control.say({ case: "audit", value: { auditId: 8n } });
  await control.hears("the audit", (heard) => heard.find((each) => each.case === "audit"));
  expect(agent.host.usage.after(0n, 10)).toEqual([]);
});

test("samples outlast a control that is away, and are sent until they are acknowledged", async () => {
  control.hangUp();
  await agent.host.sampler.measureAll();
  const samplesIn = (heard: readonly (typeof control.heard)[number][]) =>
    heard.flatMap((message) => (message.case === "samples" ? message.value.samples : []));
  const first = await control.hears("samples", (heard) => samplesIn(heard)[0]);
  expect(first).toMatchObject({ instanceId: "", values: { load_1m: expect.any(Number) } });
  control.hangUp();
  await control.hears("the same samples", (heard) => {
    const again = samplesIn(heard).filter(({ sequence }) => sequence === first.sequence);
    return again.length >= 2 ? true : undefined;
  });
  const { sequence } = first;
  control.say({ case: "acknowledgement", value: { sampleSequence: sequence } });
  await expect.poll(() => agent.host.samples.size).toBe(0);
});

test("an audit lists what is there, whether the ledger does or not", async () => {
  sayWhole();
  await tenantIsReady();
  const stranger = sampleInstance();
  await machine.make(stranger.spec);
  control.say({ case: "audit", value: { auditId: 11n } });
  const audit = await control.hears("the audit", (heard) => {
    return heard.find((each) => each.case === "audit");
  });
  expect(audit).toMatchObject({
    value: {
      auditId: 11n,
      instances: [
        { instanceId: instance.spec.id, listed: true },
        { instanceId: stranger.spec.id, listed: false, postmasterPid: 0 },
      ],
      tenants: [{ tenantId: tenant.tenantId, role: true, schema: true }],
      strayPaths: [],
    },
  });
});
