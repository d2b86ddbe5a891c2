import { Fault } from "@aerodb/model";
import type { SharedTableChange } from "@aerodb/postgres";
import { type DesiredState, DesiredStateSchema } from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import { TrialRequestSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { silent } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Desired, ledgerEntries, readLedgerEntries } from "./desired.ts";
import { PartCollector } from "./desired-intake.ts";
import { FakeHost, WRONG_SQL } from "./drivers/fake-host.ts";
import { HostState } from "./host-state.ts";
import { HostReconciler } from "./reconciler.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import { ServerEnds } from "./server-ends.ts";
import { answerTrial } from "./trial-answers.ts";

const shared = sampleInstance();
const dedicated = sampleInstance({ shared: false });
const first = sampleTenant(shared.spec.id);
const own = sampleTenant(dedicated.spec.id);
const changes = [1, 2].map((number): SharedTableChange => {
  return { number, name: `${number}.sql`, sql: `select ${number}` };
});
const third = { number: 3, name: "3.sql", sql: WRONG_SQL };
const desired: Desired = { instances: [shared, dedicated], tenants: [first, own], changes };

async function startAgent(host: FakeHost, whole: Desired) {
  const state = new HostState();
  const life = new AbortController();
  const ports = { state, driver: host, tenants: host, logger: silent, signal: life.signal };
  const vacant = async (): Promise<void> => undefined;
  const reconciler = new HostReconciler({
    ...ports,
    ends: new ServerEnds(() => 1n),
    vacant,
    changed: () => undefined,
  });
  state.desire(whole);
  await reconciler.adopt(await host.list());
  await reconciler.idle();
  async function desire(change: Desired): Promise<void> {
    for (const subject of state.desire(change)) reconciler.look(subject, { now: true });
    await reconciler.idle();
  }
  async function kill(): Promise<void> {
    life.abort();
    await reconciler.idle();
  }
  return { state, reconciler, desire, kill };
}

test("a shared instance has all changes before its first tenant, and no other has any", async () => {
  const host = new FakeHost({ room: 10 });
  const wrong = { ...desired, changes: [...changes, third] };
  const agent = await startAgent(host, wrong);
  expect(host.contents[shared.spec.id]?.tenants).toEqual([]);
  expect(host.contents[dedicated.spec.id]?.tenants).toEqual([own.tenantId]);
  expect(agent.reconciler.instanceStatus(shared)).toMatchObject({
    ...{ kind: "running", newestChange: 0, reason: "The change cannot be applied." },
  });
  await agent.desire({ instances: [], tenants: [], changes: [{ ...third, sql: "select 3" }] });
  expect(host.contents[shared.spec.id]?.tenants).toEqual([first.tenantId]);
  expect(agent.reconciler.instanceStatus(shared)).toMatchObject({ newestChange: 3, reason: "" });
  expect(host.newestChangeOf(dedicated.spec.id)).toBe(0);
});

test("a change that fails holds up neither tenants that come nor those that go", async () => {
  const host = new FakeHost({ room: 10 });
  const agent = await startAgent(host, desired);
  const next = sampleTenant(shared.spec.id);
  await agent.desire({ instances: [], tenants: [next], changes: [third] });
  expect(host.newestChangeOf(shared.spec.id)).toBe(2);
  await agent.desire({ instances: [], tenants: [{ ...first, present: false, generation: 9n }] });
  expect(host.contents[shared.spec.id]?.tenants).toEqual([next.tenantId]);
});

const crashes = Array.from({ length: 14 }, (_, halfSteps) => halfSteps);
test.each(crashes)("an agent killed after %i half steps applies each once", async (n) => {
  const host = new FakeHost({ room: 10 });
  host.dieAfter(n);
  const killed = await startAgent(host, desired);
  await killed.kill();
  host.dieAfter(Number.POSITIVE_INFINITY);
  await startAgent(host, desired);
  expect(host.newestChangeOf(shared.spec.id)).toBe(2);
  expect(host.contents[shared.spec.id]?.tenants).toEqual([first.tenantId]);
});

test("an agent knows changes after a restart, in whatever parts they came", () => {
  const parts = new PartCollector();
  const head = { generation: 5n, whole: true };
  const of = (change: SharedTableChange, more: boolean) =>
    create(DesiredStateSchema, {
      ...head,
      more,
      sharedTableChanges: [{ ...change, generation: 5n }],
    });
  const [one, two] = changes as [SharedTableChange, SharedTableChange];
  expect(parts.add(of(one, true))).toBeUndefined();
  const whole = parts.add(of(two, false)) as DesiredState;
  expect(readLedgerEntries(ledgerEntries(whole)).changes).toEqual(changes);
});

test("a trial asks every shared instance that runs, and says which refused and why", async () => {
  const host = new FakeHost({ room: 10 });
  const { state } = await startAgent(host, desired);
  const ask = (sql: string) => {
    const request = create(TrialRequestSchema, { trialId: 7n, number: 3, name: "3.sql", sql });
    return answerTrial({ state, tenants: host, logger: silent }, request);
  };
  const instanceIds = [shared.spec.id];
  expect(await ask("select 3")).toMatchObject({
    trialId: 7n,
    instanceIds,
    refusal: "",
    failure: "",
  });
  expect(await ask(WRONG_SQL)).toMatchObject({
    ...{ instanceIds, refusal: "It is wrong.", sqlState: "42601", line: 1 },
  });
  host.tryTables = () => Promise.reject(new Fault("UNAVAILABLE", "It is busy."));
  expect(await ask("select 3")).toMatchObject({ trialId: 7n, failure: "It is busy." });
});
