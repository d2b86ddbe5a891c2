import { Fault, type InstanceId } from "@aerodb/model";
import { silent, sleep, within } from "@aerodb/runtime";
import { expect, test } from "vitest";
import type { Desired, Subject } from "./desired.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import { FakeHost } from "./drivers/fake-host.ts";
import { HostState } from "./host-state.ts";
import { HostReconciler } from "./reconciler.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import { ServerEnds } from "./server-ends.ts";

interface Agent {
  readonly state: HostState;
  readonly reconciler: HostReconciler;
  readonly changes: Subject[];
  readonly healed: readonly (readonly string[])[];
  kill(): Promise<void>;
}

async function startAgent(host: FakeHost, desired: Desired): Promise<Agent> {
  const state = new HostState();
  const life = new AbortController();
  const changes: Subject[] = [];
  const healed: string[][] = [];
  const reconciler = new HostReconciler({
    state,
    ...{ driver: host, tenants: host, ends: new ServerEnds(() => 1n) },
    vacant: async () => undefined,
    logger: silent,
    healed: ({ tenantId }, rules) => healed.push([tenantId, ...rules]),
    changed: (subject) => changes.push(subject),
    signal: life.signal,
  });
  state.desire(desired);
  await reconciler.adopt(await host.list());
  const kill = async (): Promise<void> => {
    life.abort();
    await reconciler.idle();
  };
  return { state, reconciler, changes, healed, kill };
}

async function eventually(expecting: string, look: () => boolean): Promise<void> {
  const looking = async (): Promise<void> => {
    while (!look()) await sleep(2);
  };
  await within({ ms: 5_000, expecting }, looking());
}

const shared = sampleInstance();
const dedicated = sampleInstance({ shared: false });
const leaving = sampleInstance({ shared: false });
const staying = sampleTenant(shared.spec.id);
const dropped = sampleTenant(shared.spec.id);
const own = sampleTenant(dedicated.spec.id);

const before: Desired = { instances: [shared, leaving], tenants: [dropped] };
const after: Desired = {
  instances: [shared, dedicated, { ...leaving, present: false, generation: 2n }],
  tenants: [staying, own, { ...dropped, present: false, generation: 2n }],
};
const converged = {
  [shared.spec.id]: { runs: true, tenants: [staying.tenantId] },
  [dedicated.spec.id]: { runs: true, tenants: [own.tenantId] },
};

async function changedHost(): Promise<FakeHost> {
  const host = new FakeHost({ room: 10 });
  const first = await startAgent(host, before);
  await first.reconciler.idle();
  await first.kill();
  return host;
}

test("a host is brought from one desired state to the next", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  expect(host.contents).toEqual(converged);
  const statuses = after.tenants.map((tenant) => agent.reconciler.tenantStatus(tenant)?.kind);
  expect(statuses).toEqual(["ready", "ready", "absent"]);
  const states = after.instances.map((each) => agent.reconciler.instanceStatus(each)?.kind);
  expect(states).toEqual(["running", "running", "absent"]);
  await agent.kill();
});

const crashes = Array.from({ length: 17 }, (_, halfSteps) => halfSteps);
test.each(crashes)("an agent killed after %i half steps converges once restarted", async (n) => {
  const host = await changedHost();
  host.dieAfter(n);
  const first = await startAgent(host, after);
  await first.reconciler.idle();
  await first.kill();
  host.dieAfter(Number.POSITIVE_INFINITY);
  const second = await startAgent(host, after);
  await second.reconciler.idle();
  expect(host.contents).toEqual(converged);
  await second.kill();
});

test("a converged host is left alone", async () => {
  const host = await changedHost();
  const first = await startAgent(host, after);
  await first.reconciler.idle();
  await first.kill();
  host.dieAfter(0); // Any step at all would throw.
  const second = await startAgent(host, after);
  await second.reconciler.idle();
  expect(after.tenants.map((tenant) => second.reconciler.tenantStatus(tenant)?.kind)).toEqual([
    "ready",
    "ready",
    "absent",
  ]);
  await second.kill();
});

test("a server that is killed is started again, with its tenants", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  host.kill(dedicated.spec.id);
  await eventually("the server to run", () => host.contents[dedicated.spec.id]?.runs === true);
  await agent.reconciler.idle();
  expect(host.contents).toEqual(converged);
  await agent.kill();
});

test("a server that ends again and again is paused and said to have failed", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  const status = () => agent.reconciler.instanceStatus(dedicated);
  const killing = async (): Promise<void> => {
    while (status()?.kind !== "failed") {
      host.kill(dedicated.spec.id);
      await sleep(1);
    }
  };
  await within({ ms: 5_000, expecting: "a failure" }, killing());
  expect(status()).toMatchObject({ reason: expect.stringContaining("killed") });
  await eventually("it to be tried again", () => status()?.kind === "running");
  await agent.kill();
});

test("what was changed inside an instance is repaired by the drift check", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  host.tamper(shared.spec.id, staying.tenantId, { canLogin: false });
  await agent.reconciler.checkDrift(shared.spec.id);
  await agent.reconciler.idle();
  const [tenant] = await host.list(runningIn(agent, shared.spec.id));
  expect(tenant).toMatchObject({ canLogin: true });
  expect(agent.healed).toEqual([[staying.tenantId, "role.login"]]);
  await agent.kill();
});

test("a server in which nothing was written is left alone by the drift check", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  await agent.reconciler.checkDrift(shared.spec.id);
  const visits = host.visitsTo(shared.spec.id);
  await agent.reconciler.checkDrift(shared.spec.id);
  expect(host.visitsTo(shared.spec.id)).toBe(visits);
  host.tamper(shared.spec.id, staying.tenantId, { canLogin: false });
  await agent.reconciler.checkDrift(shared.spec.id);
  expect(host.visitsTo(shared.spec.id)).toBe(visits + 1);
  await agent.kill();
});

test("a tenant is suspended and reinstated, and what drifts meanwhile is ended", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  const suspended = { ...staying, suspended: true, generation: 3n };
  const desire = async (tenant: typeof staying): Promise<void> => {
    for (const subject of agent.state.desire({ instances: [], tenants: [tenant] })) {
      agent.reconciler.look(subject, { now: true });
    }
    await agent.reconciler.idle();
  };
  const seen = async () => (await host.list(runningIn(agent, shared.spec.id)))[0];
  await desire(suspended);
  expect(await seen()).toMatchObject({ canLogin: false, sessions: 0 });
  expect(agent.reconciler.tenantStatus(suspended)).toEqual({ kind: "suspended" });
  for (const drift of [{ canLogin: true }, { sessions: 2 }]) {
    host.tamper(shared.spec.id, staying.tenantId, drift);
    await agent.reconciler.checkDrift(shared.spec.id);
    await agent.reconciler.idle();
    expect(await seen()).toMatchObject({ canLogin: false, sessions: 0 });
  }
  const visits = host.visitsTo(shared.spec.id);
  await agent.reconciler.checkDrift(shared.spec.id);
  expect(host.visitsTo(shared.spec.id)).toBe(visits + 1);
  await desire({ ...staying, generation: 4n });
  expect(await seen()).toMatchObject({ canLogin: true });
  expect(agent.reconciler.tenantStatus(staying)).toEqual({ kind: "ready" });
  await agent.kill();
});

/** Its first server has sessions that do not end, and nobody sees that a server has ended. */
class StubbornHost extends FakeHost {
  #stubborn: RunningInstance | undefined;

  override async start(...how: Parameters<FakeHost["start"]>): Promise<RunningInstance> {
    const running = await super.start(...how);
    this.#stubborn ??= running;
    return Object.assign(running, { exited: new Promise<void>(() => undefined) });
  }

  override suspend(...how: Parameters<FakeHost["suspend"]>): Promise<void> {
    if (this.#stubborn !== how[0]) return super.suspend(...how);
    return Promise.reject(new Fault("OPERATION_TIMED_OUT", "Waited too long for its sessions."));
  }
}

test("a server that ended for its suspended tenant is started again at once", async () => {
  const host = new StubbornHost({ room: 10 });
  const suspended = { ...own, suspended: true };
  const agent = await startAgent(host, { instances: [dedicated], tenants: [suspended] });
  await agent.reconciler.idle();
  expect(host.contents[dedicated.spec.id]?.runs).toBe(true);
  expect(agent.reconciler.tenantStatus(suspended)).toEqual({ kind: "suspended" });
  await agent.kill();
});

test("a step that fails does not hold up others, and is said with its reason", async () => {
  const host = new FakeHost({ room: 1 });
  const agent = await startAgent(host, { instances: [shared, dedicated], tenants: [staying] });
  await agent.reconciler.idle();
  expect(agent.reconciler.tenantStatus(staying)).toEqual({ kind: "ready" });
  expect(agent.reconciler.instanceStatus(dedicated)).toEqual({
    kind: "failed",
    reason: "The host is full.",
  });

  // Room is made: what waited is tried again by itself.
  agent.state.desire({ instances: [{ ...shared, present: false, generation: 2n }], tenants: [] });
  agent.reconciler.look({ kind: "instance", id: shared.spec.id });
  await eventually("the other to run", () => host.contents[dedicated.spec.id]?.runs === true);
  await agent.kill();
});

test("a tenant that is being worked on is never said to be gone", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, { instances: [shared], tenants: [] });
  await agent.reconciler.idle();
  agent.state.desire({ instances: [], tenants: [staying] });
  agent.reconciler.look({ kind: "tenant", id: staying.tenantId });
  const gone = { ...staying, present: false, generation: 2n };
  agent.state.desire({ instances: [], tenants: [gone] });
  expect(agent.reconciler.tenantStatus(gone)).toBeUndefined();
  agent.reconciler.look({ kind: "tenant", id: staying.tenantId });
  await agent.reconciler.idle();
  expect(agent.reconciler.tenantStatus(gone)).toEqual({ kind: "absent" });
  expect(host.contents[shared.spec.id]?.tenants).not.toContain(staying.tenantId);
  await agent.kill();
});

function runningIn(agent: Agent, id: InstanceId) {
  const running = agent.state.seen(id)?.running;
  if (running === undefined) throw new Error(`${id} does not run`);
  return running;
}

async function statusOf(agent: Agent) {
  const [desired] = agent.state.instances();
  return desired && agent.reconciler.instanceStatus(desired);
}

test("a changed spec is brought to the running server, and answered for only then", async () => {
  const instance = sampleInstance({ shared: false });
  const host = new FakeHost({ room: 10 });
  const agent = await startAgent(host, { instances: [instance], tenants: [] });
  await agent.reconciler.idle();
  const running = agent.state.seen(instance.spec.id)?.running;

  const spec = { ...instance.spec, memoryMiB: 512, maxConnections: 50 };
  const change = agent.state.desire({
    instances: [{ ...instance, generation: 2n, spec }],
    tenants: [],
  });
  expect(await statusOf(agent)).toBeUndefined();
  for (const subject of change) agent.reconciler.look(subject);
  await agent.reconciler.idle();
  expect(host.inForce(spec.id)).toEqual(spec);
  expect(agent.state.seen(spec.id)?.running).toBe(running);
  expect(await statusOf(agent)).toMatchObject({
    kind: "running",
    pendingRestart: ["max_connections"],
    reason: "",
  });
  expect(agent.changes.at(-1)).toEqual({ kind: "instance", id: spec.id });

  const restart = { ...spec, restartGeneration: 3n };
  agent.state.desire({ instances: [{ ...instance, generation: 3n, spec: restart }], tenants: [] });
  agent.reconciler.look({ kind: "instance", id: spec.id });
  await agent.reconciler.idle();
  expect(agent.state.seen(spec.id)?.running?.pid).not.toBe(running?.pid);
  expect(await statusOf(agent)).toMatchObject({ kind: "running", pendingRestart: [] });
  await agent.kill();
});

const resizeCrashes = Array.from({ length: 11 }, (_, halfSteps) => halfSteps);
test.each(resizeCrashes)("an agent killed %i half steps into a change converges", async (n) => {
  const instance = sampleInstance({ shared: false });
  const host = new FakeHost({ room: 10 });
  const first = await startAgent(host, { instances: [instance], tenants: [] });
  await first.reconciler.idle();
  const { id } = instance.spec;
  const spec = { ...instance.spec, settings: { work_mem: "16MB" }, restartGeneration: 2n };
  const desired = { instances: [{ ...instance, generation: 2n, spec }], tenants: [] };
  host.dieAfter(n);
  first.state.desire(desired);
  first.reconciler.look({ kind: "instance", id });
  await first.reconciler.idle();
  await first.kill();
  host.dieAfter(Number.POSITIVE_INFINITY);
  const second = await startAgent(host, desired);
  await second.reconciler.idle();
  expect(host.inForce(id)).toEqual(spec);
  expect(await host.records.applied(id)).toMatchObject({ startedFor: 2n, pendingRestart: [] });
  host.dieAfter(0); // Converged: any step at all would throw.
  second.reconciler.look({ kind: "instance", id });
  await second.reconciler.idle();
  expect(await statusOf(second)).toMatchObject({ kind: "running" });
  await second.kill();
});

test("a server that could not be brought to its spec serves on, and says why", async () => {
  const instance = sampleInstance({ shared: false });
  const host = new FakeHost({ room: 10 });
  const agent = await startAgent(host, { instances: [instance], tenants: [] });
  await agent.reconciler.idle();
  host.resize = async () => {
    throw new Fault("UNAVAILABLE", "Storage never shrinks.");
  };
  const spec = { ...instance.spec, storageMiB: 1 };
  agent.state.desire({ instances: [{ ...instance, generation: 2n, spec }], tenants: [] });
  agent.reconciler.look({ kind: "instance", id: spec.id });
  await agent.reconciler.idle();
  expect(await statusOf(agent)).toMatchObject({
    kind: "running",
    reason: "Storage never shrinks.",
  });
  await agent.kill();
});

test("what fails once something else is wanted is not waited out", async () => {
  const instance = sampleInstance({ shared: false });
  const host = new FakeHost({ room: 10 });
  const agent = await startAgent(host, { instances: [instance], tenants: [] });
  await agent.reconciler.idle();
  const resize = host.resize.bind(host);
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  host.resize = async () => {
    host.resize = resize;
    begun.resolve();
    await end.promise;
    throw new Fault("UNAVAILABLE", "Storage never shrinks.");
  };
  const subject: Subject = { kind: "instance", id: instance.spec.id };
  const desire = (generation: bigint, storageMiB: number): void => {
    const spec = { ...instance.spec, storageMiB };
    agent.state.desire({ instances: [{ ...instance, generation, spec }], tenants: [] });
    agent.reconciler.look(subject, { now: true });
  };
  desire(2n, 1);
  await begun.promise;
  desire(3n, 100);
  end.resolve();
  await agent.reconciler.idle();
  expect(await statusOf(agent)).toMatchObject({ kind: "running", reason: "" });
  expect(host.inForce(instance.spec.id)?.storageMiB).toBe(100);
  await agent.kill();
});

test("a server that is ended because it serves nobody is started again, and says why", async () => {
  const host = await changedHost();
  const agent = await startAgent(host, after);
  await agent.reconciler.idle();
  const running = agent.state.seen(shared.spec.id)?.running;
  if (running === undefined) throw new Error("bug: the shared instance does not run");

  const ending = agent.reconciler.end(running, "It answered nobody.");
  const status = agent.reconciler.instanceStatus(shared);
  expect(status).toEqual({ kind: "failed", reason: "It answered nobody." });
  await ending;
  const isUp = () => agent.state.seen(shared.spec.id)?.running !== undefined;
  await eventually("another server", () => isUp() && !agent.state.isCurrent(running));
  await agent.reconciler.idle();
  expect(host.contents).toEqual(converged);
  // What was ended once is not ended twice, whoever asks.
  await agent.reconciler.end(running, "It answered nobody.");
  expect(host.contents).toEqual(converged);
  await agent.kill();
});
