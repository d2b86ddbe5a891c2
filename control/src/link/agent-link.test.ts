import type { InstanceId, TenantId } from "@aerodb/model";
import { LinkService } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { InstanceState, TenantState } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { newId, sleep } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import type { DesiredTenant } from "../app/fleet.ts";
import { dialled, GATEWAY, HOST_ID, type LinkBench, openLinkBench, showing } from "./link-bench.ts";

let bench: LinkBench;
afterEach(() => bench.close());

const HELLO = {
  message: {
    case: "hello",
    value: { agentVersion: "0.1.0", edgeAddress: "127.0.0.1:1", fingerprint: { bootId: "b" } },
  },
} as const;

function tenant(generation: bigint): DesiredTenant {
  return {
    id: newId("ten") as TenantId,
    generation,
    presence: "present",
    instanceId: "ins_1" as InstanceId,
    verifier: "SCRAM-SHA-256$",
    connectionLimit: 20,
    extensions: [],
    suspended: false,
    writesRefused: false,
  };
}

async function connected(times: Parameters<typeof openLinkBench>[0] = {}) {
  bench = await openLinkBench(times);
  const agent = await bench.dialAgent();
  agent.send(HELLO);
  const first = await agent.next();
  return { agent, first };
}

/** A report of one tenant that is ready at a generation. */
function report(sequence: bigint, tenantId: string, generation: bigint) {
  const tenants = [{ tenantId, generation, state: TenantState.READY }];
  return { message: { case: "observed", value: { sequence, tenants } } } as const;
}

async function eventually(claim: () => boolean): Promise<void> {
  for (let tries = 0; !claim() && tries < 500; tries += 1) await sleep(10);
  expect(claim(), `did not come true: ${claim}`).toBe(true);
}

test("a host gets its whole desired state in parts, then what changes", async () => {
  bench = await openLinkBench();
  const tenants = Array.from({ length: 2_500 }, () => tenant(7n));
  bench.fleet.desired = { ...bench.fleet.desired, generation: 7n, tenants };
  const agent = await bench.dialAgent();
  agent.send(HELLO);
  const sizes: [number, boolean][] = [];
  for (let part = 0; part < 3; part += 1) {
    const { message } = await agent.next();
    if (message.case !== "desired") expect.fail(`got ${message.case}`);
    expect(message.value).toMatchObject({ whole: true, generation: 7n });
    sizes.push([message.value.tenants.length, message.value.more]);
  }
  expect(sizes).toEqual([
    [1_000, true],
    [1_000, true],
    [500, false],
  ]);

  const added = tenant(9n);
  bench.fleet.desired = { ...bench.fleet.desired, generation: 9n, tenants: [...tenants, added] };
  bench.fleet.nudge();
  const { message } = await agent.next();
  expect(message).toMatchObject({
    case: "desired",
    value: { whole: false, generation: 9n, baseGeneration: 7n, more: false },
  });
  if (message.case === "desired") expect(message.value.tenants[0]?.tenantId).toBe(added.id);
  expect(bench.fleet.wholeReads).toBe(1);
});

test("changes of shared tables come one in a part, before what is to have them", async () => {
  const { agent } = await connected();
  const changes = [1, 2].map((number) => {
    return { number, generation: 4n, name: `${number}.sql`, sql: `select ${number}` };
  });
  bench.fleet.desired = { ...bench.fleet.desired, generation: 4n, sharedTableChanges: changes };
  bench.fleet.nudge();
  for (const [more, expected] of [
    [true, [changes[0]]],
    [true, [changes[1]]],
    [false, []],
  ] as const) {
    const { message } = await agent.next();
    if (message.case !== "desired") expect.fail(`got ${message.case}`);
    expect(message.value).toMatchObject({ more, generation: 4n, sharedTableChanges: expected });
  }
});

test("a wake-up without a change sends nothing", async () => {
  const { agent } = await connected();
  bench.fleet.nudge();
  bench.fleet.nudge();
  bench.fleet.desired = { ...bench.fleet.desired, generation: 4n, tenants: [tenant(4n)] };
  bench.fleet.nudge();
  const { message } = await agent.next();
  expect(message).toMatchObject({ case: "desired", value: { generation: 4n } });
});

test("reports that come while one is taken in are taken in as one, then acknowledged", async () => {
  const { agent } = await connected({ lookMs: 20 });
  const gate = Promise.withResolvers<void>();
  bench.fleet.gate = gate.promise;
  agent.send(report(1n, "ten_1", 1n));
  for (let sequence = 2n; sequence <= 30n; sequence += 1n) {
    agent.send(report(sequence, "ten_2", sequence));
  }
  agent.send({
    message: {
      case: "observed",
      value: { sequence: 31n, instances: [{ instanceId: "ins_1", state: InstanceState.RUNNING }] },
    },
  });
  // The last thing sent is heard: everything before it has arrived.
  agent.send({ message: { case: "heartbeat", value: { sentAt: encodeTime(new Date()) } } });
  await eventually(() => bench.fleet.clockOffsets.length > 0);
  gate.resolve();
  let acknowledged = 0n;
  while (acknowledged < 31n) {
    const { message } = await agent.next();
    if (message.case === "acknowledgement") acknowledged = message.value.observedSequence;
  }
  expect(bench.fleet.observed.length).toBeLessThan(5);
  const last = bench.fleet.observed.at(-1);
  expect(last?.tenants).toMatchObject([{ id: "ten_2", generation: 30n, state: "ready" }]);
  expect(last?.instances).toMatchObject([{ id: "ins_1", state: "running" }]);
});

test("a catalogue that is away for a while loses no report", async () => {
  const { agent } = await connected();
  bench.fleet.refusals = 2;
  agent.send(report(1n, "ten_1", 5n));
  const { message } = await agent.next();
  expect(message).toMatchObject({ case: "acknowledgement", value: { observedSequence: 1n } });
  expect(bench.fleet.observed).toHaveLength(1);
});

test("what changed of a host is taken in, and of several changes at once the newest", async () => {
  const { agent } = await connected();
  const gate = Promise.withResolvers<void>();
  bench.fleet.gate = gate.promise;
  for (const cores of [1, 2, 3]) {
    agent.send({ message: { case: "fingerprint", value: { bootId: "b", cores } } });
  }
  await sleep(50);
  gate.resolve();
  await eventually(() => bench.fleet.facts.at(-1)?.fingerprint.cores === 3);
  expect(bench.fleet.facts.length).toBeLessThan(3);
});

test("a stream that another control took over tells nothing of its host any more", async () => {
  const { agent } = await connected();
  bench.fleet.takeOver();
  agent.send({ message: { case: "fingerprint", value: { bootId: "b" } } });
  expect((await agent.ended)?.code).toBe(status.ABORTED);
});

test("of an end and a full disk the fleet hears as they were said, and of the disk when it is news", async () => {
  const { agent } = await connected();
  const lastEnd = { number: 3n, hung: true, reason: "It answered nobody." };
  const seen = { instanceId: newId("ins"), state: InstanceState.RUNNING, lastEnd };
  for (const [index, diskFull] of [false, true, true, false].entries()) {
    const value = { sequence: BigInt(index + 1), instances: [seen], diskFull };
    agent.send({ message: { case: "observed", value } });
    await agent.next();
  }
  const heard = bench.fleet.observed.map(({ diskFull }) => diskFull);
  expect(heard).toEqual([false, true, undefined, false]);
  expect(bench.fleet.observed[0]?.instances).toMatchObject([{ lastEnd }]);
});

test("usage is stored before it is acknowledged", async () => {
  const { agent } = await connected();
  const at = encodeTime(new Date());
  const event = {
    meter: "storage_bytes",
    tenantId: "ten_1",
    value: 5n,
    startedAt: at,
    endedAt: at,
  };
  agent.send({
    message: {
      case: "usage",
      value: { events: [1n, 2n].map((sequence) => ({ ...event, sequence })) },
    },
  });
  const { message } = await agent.next();
  expect(message).toMatchObject({ case: "acknowledgement", value: { usageSequence: 2n } });
  expect(bench.fleet.usage.map(({ sequence }) => sequence)).toEqual([1n, 2n]);
});

test("a newer stream of a host ends the older", async () => {
  const { agent } = await connected();
  const newer = await bench.dialAgent();
  newer.send(HELLO);
  await newer.next();
  expect((await agent.ended)?.code).toBe(status.ABORTED);
  await eventually(() => bench.fleet.disconnected.includes("token-1"));
  expect(bench.agents.connectedHosts).toEqual([HOST_ID]);
});

test("a stream that another control took over ends", async () => {
  const { agent } = await connected({ lookMs: 20 });
  bench.fleet.takeOver();
  agent.send({ message: { case: "heartbeat", value: {} } });
  expect((await agent.ended)?.code).toBe(status.ABORTED);
});

test("a silent agent is disconnected", async () => {
  const { agent } = await connected({ lookMs: 20, silenceMs: 100 });
  expect((await agent.ended)?.code).toBe(status.UNAVAILABLE);
  await eventually(() => bench.fleet.disconnected.includes("token-1"));
});

test("an agent that goes away is disconnected", async () => {
  const { agent } = await connected();
  agent.close();
  await eventually(() => bench.fleet.disconnected.includes("token-1"));
  expect(bench.agents.connectedHosts).toEqual([]);
});

test("a stream without a hello ends, and so does one that begins with something else", async () => {
  bench = await openLinkBench({ helloMs: 50 });
  const silent = await bench.dialAgent();
  const rude = await bench.dialAgent();
  rude.send({ message: { case: "heartbeat", value: {} } });
  expect((await silent.ended)?.code).toBe(status.DEADLINE_EXCEEDED);
  expect((await rude.ended)?.code).toBe(status.INVALID_ARGUMENT);
});

test("a gateway's certificate is refused", async () => {
  bench = await openLinkBench();
  const agent = await bench.dialAgent(GATEWAY);
  expect((await agent.ended)?.code).toBe(status.PERMISSION_DENIED);
});

test("a question is answered by its number and kind, or gives up at its deadline", async () => {
  const { agent } = await connected({ auditMs: 200 });
  const signal = AbortSignal.timeout(5_000);
  const answered = bench.agents.ask(HOST_ID, { kind: "audit" }, signal);
  const { message } = await agent.next();
  if (message.case !== "audit") expect.fail(`got ${message.case}`);
  const { auditId } = message.value;
  agent.send({ message: { case: "log", value: { logId: auditId, text: "no audit" } } });
  agent.send({
    message: {
      case: "audit",
      value: { auditId, tenants: [{ tenantId: "ten_1", instanceId: "ins_1", role: true }] },
    },
  });
  expect(await answered).toMatchObject({
    hostId: HOST_ID,
    tenants: [{ id: "ten_1", role: true, schema: false }],
  });
  const silent = bench.agents.ask(HOST_ID, { kind: "audit" }, signal);
  await expect(silent).rejects.toThrow("Waited 200 ms for the audit");
});

test("an agent that is not connected here cannot be asked here", async () => {
  await connected();
  const elsewhere = newId("hst") as typeof HOST_ID;
  expect(bench.agents.ask(elsewhere, { kind: "audit" }, AbortSignal.timeout(1))).toBeUndefined();
});

test("what another control asks is asked of the agent, and its answer or fault sent back", async () => {
  const { agent } = await connected();
  const question = { kind: "log", instanceId: "ins_1", cursor: "", maxBytes: 9 } as const;
  bench.fleet.asked = [
    { id: "first", question },
    { id: "second", question },
  ];
  bench.fleet.nudge();
  for (const value of [{ text: "a line\n", cursor: "7" }, { failure: "There is no log." }]) {
    const { message } = await agent.next();
    if (message.case !== "log") expect.fail(`got ${message.case}`);
    expect(message.value).toMatchObject({ instanceId: "ins_1", maxBytes: 9 });
    agent.send({ message: { case: "log", value: { ...value, logId: message.value.logId } } });
  }
  await eventually(() => bench.fleet.answers.size === 2);
  expect(bench.fleet.answers.get("first")).toEqual({ answer: { text: "a line\n", cursor: "7" } });
  expect(bench.fleet.answers.get("second")).toMatchObject({
    fault: { code: "UNAVAILABLE", message: "There is no log." },
  });
});

test("control that stops ends the streams as unavailable", async () => {
  const { agent } = await connected();
  bench.agents.close();
  expect((await agent.ended)?.code).toBe(status.UNAVAILABLE);
});

test("an agent is told what to keep ready, and what it keeps is taken in", async () => {
  bench = await openLinkBench();
  const shape = {
    engineMajor: 18,
    maxConnections: 100,
    memoryMiB: 512,
    cpuMillis: 250,
    storageMiB: 10_240,
    pidsLimit: 0,
  };
  bench.fleet.policies = [{ shape, count: 2 }];
  const shown = await showing(bench.authority, { kind: "host", id: HOST_ID });
  const agent = dialled(bench.clientOf(shown), LinkService.method.connect);
  agent.send(HELLO);
  expect((await agent.next()).message.case).toBe("desired");
  const { message } = await agent.next();
  if (message.case !== "warm") expect.fail(`got ${message.case}`);
  expect(message.value.policies).toMatchObject([
    { count: 2, shape: { engineMajor: 18, memoryMib: 512, storageMib: 10_240 } },
  ]);

  const id = newId("ins");
  const kept = message.value.policies[0]?.shape;
  const instances = [
    { instanceId: id, ...(kept ? { shape: kept } : {}) },
    { instanceId: "../../etc", ...(kept ? { shape: kept } : {}) },
  ];
  agent.send({ message: { case: "warm", value: { instances } } });
  await eventually(() => bench.fleet.warm.length === 1);
  expect(bench.fleet.warm).toEqual([[{ id, shape }]]);
});
