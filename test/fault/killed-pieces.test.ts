/** `kill -9` of each piece while fifty callers create and delete tenants. */
import type pg from "pg";
import { describe, expect, test } from "vitest";
import { type Piece, platformOfThisTest, usePlatform } from "../platform.ts";
import { lives, processesOf, signal } from "../processes.ts";
import { until } from "../until.ts";
import { type CrowdSize, expectAnswersStand, prepare, release } from "./crowd.ts";
import { expectNothingHalf } from "./leftovers.ts";

const SIZE: CrowdSize = { creates: 30, deletes: 20, ofDatabases: 3 };
/** Answers after which the piece is killed: the crowd is then in the middle of it. */
const IN_THE_MIDDLE = 8;

interface Round {
  readonly piece: Piece;
  /** Whether a session that was open before is still open after. */
  readonly keepsSessions: boolean;
  /** Whether no server of a tenant was started again. */
  readonly keepsServers: boolean;
}

const ROUNDS: readonly Round[] = [
  { piece: "control", keepsSessions: true, keepsServers: true },
  { piece: "agents", keepsSessions: true, keepsServers: true },
  { piece: "gateway", keepsSessions: false, keepsServers: true },
  { piece: "catalogue", keepsSessions: true, keepsServers: true },
  { piece: "instances", keepsSessions: false, keepsServers: false },
  { piece: "up", keepsSessions: false, keepsServers: true },
];

const platform = usePlatform();

/** A database tenant that has nothing to do with it all: its server and an open session. */
async function bystander(name: string) {
  const before = new Set(platform().pids("instances"));
  const { connection } = await platform().createTenant({ name, plan: "pro" });
  const server = platform()
    .pids("instances")
    .find((pid) => !before.has(pid));
  const session: pg.Client = await platform().connect(connection.uri);
  return { server: server ?? 0, session };
}

async function kill(piece: Piece): Promise<void> {
  if (piece !== "up") {
    const killed = platform().kill(piece);
    return until(`${piece} to be dead`, () => !killed.some(lives)).then(() => undefined);
  }
  const pieces = ["control", "agents", "gateway"] as const;
  const orphans = pieces.flatMap((each) => platform().pids(each));
  await platform().killUp();
  await until("the pieces to end by themselves", () => !orphans.some(lives));
  await platform().start();
}

async function deleteAll(): Promise<void> {
  const tenants = await platform().tenants();
  const answers = await Promise.all(
    tenants.map((tenant) => platform().request("DELETE", `/v1/tenants/${tenant.tenant_id}`)),
  );
  expect(answers.filter((each) => each.status !== 200)).toEqual([]);
}

describe("kill -9 in the middle of 50 creates and deletes", () => {
  test.for(ROUNDS)("of $piece: every answer stands, nothing is half", async (round) => {
    const { piece, keepsSessions, keepsServers } = round;
    await platform().ready();
    const { server, session } = await bystander(`bystander-${piece}`);
    await prepare(platform(), piece, SIZE);
    const crowd = release(platform(), piece, SIZE);
    await crowd.answered(IN_THE_MIDDLE);
    await kill(piece);
    const heard = await crowd.done;
    await platform().settled();
    await expectAnswersStand(platform(), heard);
    await expectNothingHalf(platform());
    expect(lives(server), "the server of a tenant that was not touched").toBe(keepsServers);
    if (keepsSessions) expect((await session.query("select 1 as one")).rows).toHaveLength(1);
    await deleteAll();
    await platform().settled();
    const statuses = heard.map(({ answer }) => answer?.status ?? 503);
    const unnamed = statuses.filter((status) => ![200, 201, 503, 504].includes(status));
    expect(unnamed, "answers other than done, unavailable and too late").toEqual([]);
  });
});

test("Ctrl-C after all of this leaves nothing behind", async () => {
  await platform().stop();
});

test("Ctrl-C leaves nothing of an agent that was killed while it made a template", async () => {
  const fresh = await platformOfThisTest({ ownEngines: true, waitUntilReady: false });
  const maker = await until(
    "the agent to make its template",
    () =>
      processesOf(fresh.roots).find(
        ({ arguments: words }) =>
          words[0]?.endsWith("/initdb") &&
          words.some((word) => word.includes("/engines/templates/")),
      ),
    60_000,
  );
  // Kept from ending by itself before it is looked for.
  signal(maker.pid, "SIGSTOP");
  await fresh.ready();
  fresh.kill("agents");
  await fresh.stop();
});
