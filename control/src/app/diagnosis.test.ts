import { sql } from "@aerodb/db";
import { Fault, type HostId } from "@aerodb/model";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { diagnose, type HostAudit } from "./diagnosis.ts";
import type { FakeAgent } from "./fake-agent.ts";
import { openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";
import type { AnswerTo, HostQuestions, Question } from "./host-questions.ts";
import { getHost } from "./hosts.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let agent: FakeAgent;
let hostId: HostId;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  agent = await platform.addAgent("h1");
  hostId = (await getHost(platform.control, "h1")).id;
  await platform.create("acme");
  await platform.create("solo", { plan: "pro" });
});
afterEach(() => platform.close());

/** What an agent finds that holds just what it should. */
function honestAudit(): HostAudit {
  return {
    hostId,
    instances: [...agent.instances.keys()].map((id) => ({
      id,
      postmasterPid: 7,
      listed: true,
      unreadable: "",
      foreign: false,
    })),
    tenants: [...agent.tenants.values()].map(({ id, instanceId }) => {
      return { id, instanceId, role: true, schema: true };
    }),
    strayProcesses: [],
    strayPaths: [],
    foreignPaths: [],
    trashPaths: [],
  };
}

/** Every host answers an audit so. */
function answering(audit: () => Promise<HostAudit>): HostQuestions {
  return {
    ask: async <Asked extends Question>() => (await audit()) as AnswerTo<Asked>,
  };
}

async function findingsOf(audit: HostAudit): Promise<readonly (readonly [string, string])[]> {
  const questions = answering(async () => audit);
  const { findings } = await diagnose(platform.control, questions, new AbortController().signal);
  return findings.map(({ kind, subject }) => [kind, subject] as const);
}

test("a host that holds just what it should gives no finding", async () => {
  const questions = answering(async () => honestAudit());
  expect(await diagnose(platform.control, questions, new AbortController().signal)).toEqual({
    findings: [],
    trash: [],
    hostsChecked: 1,
    instancesChecked: 2,
    tenantsChecked: 2,
  });
});

test("what a host holds and should not is an orphan of its kind", async () => {
  const honest = honestAudit();
  const home = honest.instances[0]?.id ?? "";
  const orphan = { postmasterPid: 0, listed: false, unreadable: "", foreign: false };
  const found = await findingsOf({
    ...honest,
    instances: [
      ...honest.instances,
      { ...orphan, id: "ins_x" },
      { ...orphan, id: "ins_y", foreign: true },
    ],
    tenants: [...honest.tenants, { id: "ten_x", instanceId: home, role: false, schema: true }],
    strayProcesses: [{ pid: 42, directory: "/gone" }],
    strayPaths: ["/home/x", "/home/y"],
    foreignPaths: ["/home/y"],
  });
  expect(found).toEqual([
    ["ORPHAN_PROCESS", "42"],
    ["ORPHAN_DIRECTORY", "ins_x"],
    ["ORPHAN_ROLE", "ten_x"],
    ["ORPHAN_PATH", "/home/x"],
    ["FOREIGN_DIRECTORY", "ins_y"],
    ["FOREIGN_PATH", "/home/y"],
  ]);
});

test("a process that works where an instance is, and is of no server, is called that", async () => {
  const strayProcesses = [{ pid: 42, directory: "/instances/ins_x/data" }];
  const questions = answering(async () => ({ ...honestAudit(), strayProcesses }));
  const { signal } = new AbortController();
  const { findings } = await diagnose(platform.control, questions, signal);
  expect(findings.map(({ detail }) => detail)).toEqual([
    "Process 42 works in /instances/ins_x/data and is of no server: look whose it is, end it.",
  ]);
});

test("what a host should hold and does not is missing", async () => {
  const honest = honestAudit();
  const [first, second] = honest.instances;
  const onFirst = honest.tenants.find(({ instanceId }) => instanceId === first?.id);
  expect(await findingsOf({ ...honest, tenants: [] })).toEqual(
    expect.arrayContaining(honest.tenants.map(({ id }) => ["MISSING_ROLE", id])),
  );
  expect(await findingsOf({ ...honest, instances: second ? [second] : [] })).toEqual([
    ["MISSING_DIRECTORY", first?.id],
  ]);
  const down = honest.instances.map((each) => ({ ...each, postmasterPid: 0 }));
  const found = await findingsOf({ ...honest, instances: down });
  expect(found.map(([kind]) => kind)).toEqual(["MISSING_PROCESS", "MISSING_PROCESS"]);
  const half = honest.tenants.map((each) => ({ ...each, schema: each.id !== onFirst?.id }));
  expect(await findingsOf({ ...honest, tenants: half })).toEqual([["MISSING_ROLE", onFirst?.id]]);
});

test("of an instance that nobody could look into, nothing is said to be missing", async () => {
  const honest = honestAudit();
  const instances = honest.instances.map((each) => ({ ...each, unreadable: "It is full." }));
  const found = await findingsOf({ ...honest, instances, tenants: [] });
  expect(found).toEqual(instances.map(({ id }) => ["UNREADABLE_INSTANCE", id]));
});

test("a catalogue that disagrees with itself says where", async () => {
  const { database } = platform.catalogue;
  await database.query(sql`update hosts set reserved_memory_mib = reserved_memory_mib + 1`);
  await database.query(sql`update instances set tenant_count = 9 where shared`);
  await database.query(sql`update tenants set status = 'creating' where name = 'acme'`);
  await database.query(sql`update instances set presence = 'absent' where not shared`);
  await database.query(sql`update tenants set quarantine_reason = 'a wall' where name = 'solo'`);
  const found = await findingsOf(honestAudit());
  expect(found.map(([kind]) => kind)).toEqual([
    "TENANT_WITHOUT_INSTANCE",
    "RESERVATION_MISMATCH",
    "TENANT_COUNT_MISMATCH",
    "QUARANTINED_TENANT",
    "STUCK_TENANT",
  ]);
});

test("what changes during the audit is no finding, and a silent host is one", async () => {
  const meddling = answering(async () => {
    const before = honestAudit();
    await platform.create("during", { plan: "pro" });
    await platform.remove("solo");
    const after = honestAudit();
    return { ...after, instances: [...before.instances, ...after.instances] };
  });
  const { signal } = new AbortController();
  expect((await diagnose(platform.control, meddling, signal)).findings).toEqual([]);
  const silent = answering(() => {
    throw new Fault("OPERATION_TIMED_OUT", "It gave no answer in 10 s.");
  });
  expect((await diagnose(platform.control, silent, signal)).findings).toMatchObject([
    {
      kind: "HOST_NOT_AUDITED",
      detail: "The host h1 was not looked at: It gave no answer in 10 s.",
    },
  ]);
});

test("what the host was told to hold and the catalogue forgot is told apart; trash is none", async () => {
  const honest = honestAudit();
  const forgotten = { id: "ins_x", postmasterPid: 0, listed: true, unreadable: "", foreign: false };
  const audit = { ...honest, instances: [...honest.instances, forgotten], trashPaths: ["/t/1"] };
  const questions = answering(async () => audit);
  const { signal } = new AbortController();
  const { findings, trash } = await diagnose(platform.control, questions, signal);
  expect(findings).toMatchObject([{ kind: "FORGOTTEN_INSTANCE", subject: "ins_x" }]);
  expect(trash).toMatchObject([{ kind: "TRASH", hostId, subject: "/t/1" }]);
});
