import { sql } from "@aerodb/db";
import { Fault } from "@aerodb/model";
import { armFailpoints } from "@aerodb/runtime";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import type { HostQuestions, Question, TrialReport } from "./host-questions.ts";
import { applySharedTables, listSharedTables } from "./shared-tables.ts";

const ACCEPTED: TrialReport = { instanceIds: ["ins_1"], refusal: "", sqlState: "", line: 0 };

let server: CatalogueServer;
let platform: PlatformFixture;
/** What hosts were asked to try, and what they say to it. */
let tried: Question[];
let answer: TrialReport | Fault;
const never = new AbortController().signal;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  tried = [];
  answer = ACCEPTED;
});
afterEach(() => platform.close());

const questions = {
  async ask(_: unknown, question: Question) {
    tried.push(question);
    if (answer instanceof Fault) throw answer;
    return answer;
  },
} as HostQuestions;

function apply(name: string, statements: string) {
  const ask = { questions, caller: tester, name, sql: statements, signal: never };
  return applySharedTables(platform.control, ask);
}

async function listChanges() {
  return (await listSharedTables(platform.control)).changes;
}

async function withTenant(): Promise<void> {
  await platform.addAgent("h1");
  await platform.create("acme");
}

test("a change is tried, written down, and answered when instances have it", async () => {
  await withTenant();
  const { change, repeated } = await apply("a.sql", "select 1");
  expect(repeated).toBe(false);
  expect(change).toMatchObject({ number: 1, name: "a.sql", instances: 1, instancesApplied: 1 });
  expect(tried).toEqual([{ kind: "trial", number: 1, name: "a.sql", sql: "select 1" }]);
  expect((await apply("b.sql", "select 1")).change.number).toBe(2);
  const events = await platform.control.database.query(
    sql`select actor, after from events where kind = 'shared_tables.apply' order by id`,
  );
  expect(events).toMatchObject([{ actor: tester.principal, after: { number: 1 } }, {}]);
});

test("a repeat changes nothing, and other SQL under a name is refused", async () => {
  await withTenant();
  const { change } = await apply("a.sql", "select 1");
  tried = [];
  expect(await apply("a.sql", "select 1")).toEqual({ change, repeated: true });
  const fault = await faultOf(apply("a.sql", "select 2"));
  expect(fault.code).toBe("SHARED_TABLES_NAME_EXISTS");
  expect(fault.message).toContain("another name");
  expect([tried, await listChanges()]).toEqual([[], [change]]);
});

test("what is refused where it is tried is not written down, and says where it is wrong", async () => {
  await withTenant();
  answer = { ...ACCEPTED, refusal: "It is wrong.", sqlState: "42601", line: 3 };
  const fault = await faultOf(apply("a.sql", "select"));
  expect(fault).toMatchObject({
    ...{ code: "SHARED_TABLES_REFUSED", message: "Line 3: It is wrong. (SQLSTATE 42601)" },
    details: { sql_state: "42601", line: 3, instance_id: "ins_1" },
  });
  answer = new Fault("OPERATION_TIMED_OUT", "Waited.");
  expect((await faultOf(apply("a.sql", "select"))).code).toBe("OPERATION_TIMED_OUT");
  answer = { ...ACCEPTED, instanceIds: [] };
  expect((await faultOf(apply("a.sql", "select"))).code).toBe("UNAVAILABLE");
  expect(await listChanges()).toEqual([]);
});

test("without a shared instance there is nowhere to try it", async () => {
  await platform.addAgent("h1");
  const fault = await faultOf(apply("a.sql", "select 1"));
  expect(fault.code).toBe("NO_SHARED_INSTANCE");
  expect(fault.message).toContain("create a tenant");
});

test("of two that come at once one is first, and the same twice is one", async () => {
  await withTenant();
  // The first to be tried is held up until the other is written.
  const heldUp = () => armFailpoints("control.shared_tables.tried=sleep:500");
  heldUp();
  const [one, other] = await Promise.allSettled([apply("a.sql", "select 1"), apply("b.sql", "x")]);
  expect([one?.status, other?.status].toSorted()).toEqual(["fulfilled", "rejected"]);
  const lost = [one, other].find((each) => each?.status === "rejected") as PromiseRejectedResult;
  expect((lost.reason as Fault).code).toBe("SUPERSEDED");
  heldUp();
  const both = await Promise.all([apply("c.sql", "select 1"), apply("c.sql", "select 1")]);
  expect(both.map(({ repeated }) => repeated).toSorted()).toEqual([false, true]);
  expect((await listChanges()).map(({ number }) => number)).toEqual([1, 2]);
});

test("an instance that is made later has all, and one that says why it fails is not waited for", async () => {
  await withTenant();
  await apply("a.sql", "select 1");
  const deaf = await platform.addAgent("h2", {
    ofInstance: () => ({ sharedTableChanges: 0, reason: "It failed." }),
  });
  const { database } = platform.control;
  await database.query(sql`update hosts set status = 'cordoned' where name = 'h1'`);
  await database.query(sql`update instances set max_tenants = tenant_count`);
  await platform.create("elsewhere");
  expect(deaf.instances.size).toBe(1);
  const { change } = await apply("b.sql", "select 1");
  expect(change).toMatchObject({ instances: 2, instancesApplied: 1 });
  const [instanceId] = deaf.instances.keys();
  expect((await listSharedTables(platform.control)).behind).toMatchObject([
    { instanceId, newestChange: 0, reason: "It failed." },
  ]);
});
