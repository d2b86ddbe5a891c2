/**
 * One tenant takes all that it can get of a server that it shares, while a neighbour works: every
 * transaction of the neighbour's is served, unless for want of locks, of which there is one table.
 */
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { family, type Scene } from "../attack-case.ts";
import { codeOf, outcomeOf } from "../attempt.ts";

const WORK_MS = 800;
const SESSIONS = 6;
const PAUSE_MS = 5;

export interface Measured {
  readonly transactions: number;
  readonly failed: number;
  /** How the failed ones came out, each once. */
  readonly outcomes: readonly string[];
  readonly p99Ms: number;
}

/** What each attack cost the neighbour, by the id of its case. */
export const MEASURED = new Map<string, Measured>();

/** Small transactions of the neighbour, until they are told to end. */
async function measured(client: pg.Client, working: () => boolean): Promise<Measured> {
  const tookMs: number[] = [];
  const outcomes = new Set<string>();
  let failed = 0;
  while (working()) {
    const began = performance.now();
    const outcome = await outcomeOf(
      client,
      `begin; select x from t where i = 1; update t set i = i where i = 1; commit;
       select x from t where i = 1`,
    );
    tookMs.push(performance.now() - began);
    if (outcome !== "some") {
      failed += 1;
      outcomes.add(outcome);
      await client.query("rollback");
    }
    await sleep(PAUSE_MS);
  }
  const sorted = tookMs.toSorted((one, other) => one - other);
  const p99Ms = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
  return { transactions: tookMs.length, failed, outcomes: [...outcomes], p99Ms };
}

/** Runs statements again and again in several sessions, while the neighbour works. */
function hogging(what: string, statement: (round: number) => string) {
  return async (scene: Scene): Promise<string> => {
    const sessions: pg.Client[] = [];
    for (let opened = 0; opened < SESSIONS; opened += 1) {
      sessions.push(await scene.attacker.connect());
    }
    let working = true;
    const hogs = sessions.map(async (session, place) => {
      for (let round = 0; working; round += 1) {
        await outcomeOf(session, statement(round * SESSIONS + place));
      }
    });
    const after = sleep(WORK_MS).then(() => {
      working = false;
    });
    const figures = await measured(scene.theirs, () => working);
    await after;
    const pids = "select pg_cancel_backend(pid) from pg_stat_activity where usename = $1";
    await scene.walled.root.query(pids, [scene.attacker.tenantId]);
    await Promise.all(hogs);
    await Promise.all(sessions.map((session) => session.end()));
    MEASURED.set(`hogs.${what}`, figures);
    return verdictOn(figures);
  };
}

function verdictOn({ transactions, failed, outcomes }: Measured): string {
  if (failed > 0) return `failed with ${outcomes.join(" ")}`;
  return transactions > 0 ? "served" : "idle";
}

/** Opens and leaves sessions as fast as it can. */
async function crowding(scene: Scene): Promise<string> {
  let working = true;
  const crowd = Array.from({ length: 20 }, async () => {
    while (working) {
      const session = await scene.attacker.connect().catch(() => undefined);
      await session?.end();
    }
  });
  const after = sleep(WORK_MS).then(() => {
    working = false;
  });
  const figures = await measured(scene.theirs, () => working);
  const newcomer = await scene.victim.connect().then(
    (client) => client.end().then(() => true),
    () => false,
  );
  await Promise.all([after, ...crowd]);
  MEASURED.set("hogs.connections", figures);
  return newcomer ? verdictOn(figures) : "refused a login";
}

/** How a neighbour fares that writes, and one that logs in, when no lock is left. */
async function heldLocks({ attacker, victim, theirs }: Scene): Promise<string> {
  const hog = await attacker.connect();
  try {
    // What a session locked by advice outlasts the error that it met.
    await outcomeOf(hog, "select pg_advisory_lock(n) from generate_series(1, 1000000) n");
    const wrote = await outcomeOf(theirs, "begin; update t set i = i where i = 1");
    await theirs.query("rollback");
    const newcomer = await victim.connect().then((client) => client.end(), codeOf);
    return `${wrote} ${newcomer}`;
  } finally {
    await hog.end();
  }
}

export const HOGS = family(
  "hogs",
  { safe: ["served"], since: 18 },
  {
    connections: crowding,
    processor: hogging("processor", () => "select count(*) from generate_series(1, 1e7)"),
    memory: hogging("memory", () => "select length(repeat('a', 100000000))"),
    spill: hogging(
      "spill",
      () => "select count(*) from (select n from generate_series(1, 20000000) n order by -n) s",
    ),
    locks: hogging(
      "locks",
      (round) => `begin; lock table t in access exclusive mode; select pg_sleep(0.01);
        select pg_advisory_xact_lock(n) from generate_series(${round}, ${round} + 2000) n;
        rollback`,
    ),
    // Full until the error is met: who writes just then has no lock for its transaction.
    lock_table: {
      attack: hogging(
        "lock_table",
        () => `begin; select pg_advisory_xact_lock_shared(n) from generate_series(1, 100000) n;
          rollback`,
      ),
      safe: ["served", "failed with 53200"],
    },
    deadlocks: hogging(
      "deadlocks",
      (round) => `begin; select pg_advisory_xact_lock(${round % 2}); select pg_sleep(0.01);
        select pg_advisory_xact_lock(${1 - (round % 2)}); rollback`,
    ),
    notifications: hogging(
      "notifications",
      () => "select pg_notify('news', n || repeat('a', 4000)) from generate_series(1, 500) n",
    ),
    catalogue: hogging(
      "catalogue",
      (round) => `create table hog_${round} (i int); drop table hog_${round}`,
    ),
    temporary_tables: hogging(
      "temporary_tables",
      () => "create temporary table if not exists hog as select 1; drop table hog",
    ),
    writes: hogging(
      "writes",
      () => "insert into whole select n, repeat('a', 1000) from generate_series(1, 5000) n",
    ),
    held_locks: { attack: heldLocks, safe: ["53200 53200"], documented: "The table of locks" },
    errors: hogging("errors", () => "select 1 / 0"),
  },
);
