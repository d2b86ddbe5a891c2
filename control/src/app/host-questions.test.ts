/** Two control processes over one catalogue: the host is connected to the other one. */
import { sql } from "@aerodb/db";
import { Fault, type HostId, type InstanceId } from "@aerodb/model";
import { silent } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startChanges } from "./changes.ts";
import type { Control } from "./control.ts";
import type { FakeAgent } from "./fake-agent.ts";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import {
  type Agents,
  type HostQuestions,
  openHostQuestions,
  type Question,
} from "./host-questions.ts";
import { getHost } from "./hosts.ts";
import { readInstanceLog, readTenantLog } from "./logs.ts";
import { sweepOrphans } from "./sweep.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
let agent: FakeAgent;
let hostId: HostId;
let questions: HostQuestions;
let over: AbortController;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  agent = await platform.addAgent("h1");
  hostId = (await getHost(platform.control, "h1")).id;
  over = new AbortController();
  const { url } = platform.catalogue;
  const changes = await startChanges({ url, logger: silent, signal: over.signal });
  const other: Control = { ...platform.control, changes };
  questions = openHostQuestions(other, { ask: () => undefined } satisfies Agents);
});
afterEach(async () => {
  over.abort();
  await platform.close();
});

/** The control that holds the host's stream answers what it is asked, in this way. */
async function answerAll(answer: (question: Question) => object): Promise<void> {
  const { fleet } = platform;
  const watch = fleet.watchQuestions(hostId);
  try {
    for (;;) {
      for (const { id, question } of await fleet.takeAskedElsewhere(hostId, agent.token)) {
        try {
          await fleet.answerElsewhere(id, { answer: answer(question) });
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          await fleet.answerElsewhere(id, { fault: error });
        }
      }
      await watch.changed(over.signal);
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    watch.close();
  }
}

async function questionsLeft(): Promise<number> {
  const rows = await platform.catalogue.database.query(sql`select id from host_questions`);
  return rows.length;
}

const log = { kind: "log", cursor: "", maxBytes: 100 } as const;

test("a question finds the control that holds the stream, and its answer the one that asked", async () => {
  const answering = answerAll((question) => ({ text: `${question.kind}\0é\n`, cursor: "5" }));
  const ask = { ...log, instanceId: "ins_1" };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => questions.ask(hostId, ask, over.signal)),
  );
  expect(answers).toEqual(Array.from({ length: 20 }, () => ({ text: "log\0é\n", cursor: "5" })));
  expect(await questionsLeft()).toBe(0);
  over.abort();
  await answering;
});

test("a refusal comes back as the fault it is", async () => {
  const answering = answerAll(() => {
    throw new Fault("UNAVAILABLE", "There is no log.");
  });
  const ask = { ...log, instanceId: "ins_1" };
  const fault = await faultOf(questions.ask(hostId, ask, over.signal));
  expect(fault).toMatchObject({ code: "UNAVAILABLE", message: "There is no log." });
  over.abort();
  await answering;
});

test("of a host that nobody is connected to, the asker hears so at once", async () => {
  await agent.stop();
  const fault = await faultOf(questions.ask(hostId, { kind: "audit" }, over.signal));
  expect(fault.message).toBe(`The agent of host ${hostId} is not connected.`);
});

test("who asks and goes away leaves nothing, and a session that was taken over takes nothing", async () => {
  const leaving = new AbortController();
  const asked = faultOf(questions.ask(hostId, { kind: "audit" }, leaving.signal));
  while ((await questionsLeft()) === 0);
  const stale = "00000000-0000-0000-0000-000000000000";
  expect(await platform.fleet.takeAskedElsewhere(hostId, stale)).toEqual([]);
  const taken = await platform.fleet.takeAskedElsewhere(hostId, agent.token);
  expect(taken).toMatchObject([{ question: { kind: "audit" } }]);
  expect(await platform.fleet.takeAskedElsewhere(hostId, agent.token)).toEqual([]);
  leaving.abort(new Fault("UNAVAILABLE", "gone"));
  expect((await asked).message).toBe("gone");
  expect(await questionsLeft()).toBe(0);
  await platform.fleet.answerElsewhere(taken[0]?.id ?? "", { answer: {} });
});

test("a dedicated tenant's log is its instance's; a schema tenant has none of its own", async () => {
  await platform.create("solo", { plan: "pro" });
  await platform.create("acme");
  const asked: Question[] = [];
  const answering = answerAll((question) => {
    asked.push(question);
    return { text: "a line\n", cursor: "7" };
  });
  const part = { cursor: "3", maxBytes: 0 };
  const ask = { questions, part, signal: over.signal };
  expect(await readTenantLog(platform.control, { ...ask, tenant: "solo" })).toEqual({
    text: "a line\n",
    cursor: "7",
  });
  const refused = await faultOf(readTenantLog(platform.control, { ...ask, tenant: "acme" }));
  expect(refused).toMatchObject({ code: "LOG_IS_SHARED" });
  expect(refused.message).not.toMatch(/ins_/);
  await readInstanceLog(platform.control, { ...ask, instance: "acme" });
  const instances = [...agent.tenants.values()].map(({ instanceId }) => instanceId);
  expect(asked).toMatchObject(
    instances.map((instanceId) => ({ kind: "log", instanceId, cursor: "3", maxBytes: 65_536 })),
  );
  const unknown = readInstanceLog(platform.control, { ...ask, instance: "ins_x" });
  expect(await faultOf(unknown)).toMatchObject({ code: "INSTANCE_NOT_FOUND" });
  over.abort();
  await answering;
});

const ORPHAN = "ins_01jc7w4x9dep8t3w8rj0sxv5n2";

test("a sweep asks for what was confirmed, keeps what is known by now, and is noted", async () => {
  await platform.create("solo", { plan: "pro" });
  const [held] = agent.instances.keys();
  const asked: Question[] = [];
  const answering = answerAll((question) => {
    asked.push(question);
    return { removed: [ORPHAN, "42"], kept: [{ subject: "/x", reason: "It is no orphan." }] };
  });
  const findings = [
    { kind: "ORPHAN_DIRECTORY", hostId, subject: ORPHAN },
    { kind: "ORPHAN_DIRECTORY", hostId, subject: held as InstanceId },
    { kind: "ORPHAN_PROCESS", hostId, subject: "42" },
    { kind: "ORPHAN_PATH", hostId, subject: "/x" },
    { kind: "TRASH", hostId, subject: "/t" },
  ];
  const order = { questions, caller: tester, findings, signal: over.signal };
  expect((await sweepOrphans(platform.control, order)).map((each) => each.reason)).toEqual([
    "",
    "The catalogue places it on this host by now.",
    "",
    "It is no orphan.",
    "The host's agent is too old to sweep: upgrade it.",
  ]);
  expect(asked).toEqual([
    {
      kind: "sweep",
      instanceIds: [ORPHAN],
      forgottenInstanceIds: [],
      pids: [42],
      paths: ["/x"],
      trashPaths: ["/t"],
    },
  ]);
  const events = await platform.catalogue.database.query<{ kind: string; actor: string }>(
    sql`select kind, actor from events where subject = ${hostId} and kind like 'host.sw%'
         order by id`,
  );
  expect(events).toEqual([
    { kind: "host.sweep", actor: tester.principal },
    { kind: "host.swept", actor: tester.principal },
  ]);
  over.abort();
  await answering;
});

test.for([
  ["MISSING_ROLE", "ten_1"],
  ["ORPHAN_DIRECTORY", "../../etc"],
  ["ORPHAN_PROCESS", "-1"],
])("a finding %s about %s cannot be swept", async ([kind = "", subject = ""]) => {
  const findings = [{ kind, hostId, subject }];
  const order = { questions, caller: tester, findings, signal: over.signal };
  const fault = await faultOf(sweepOrphans(platform.control, order));
  expect(fault.code).toBe("INVALID_ARGUMENT");
});
