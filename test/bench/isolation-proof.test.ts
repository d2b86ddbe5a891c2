/** What it costs to prove tenants: one with many tables, and all of a full instance. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  backendPidOf,
  type connectPlatform,
  ensureTenant,
  isProven,
  proveIsolation,
  quoteIdentifier,
  scramVerifier,
} from "@aerodb/postgres";
import { newId } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { backendsOf } from "../../agent/src/backend-processes.ts";
import { giveWay } from "../../agent/src/limits/giving-way.ts";
import { openControlGroups } from "../../agent/src/limits/open-control-groups.ts";
import { limitMemory } from "../../agent/src/limits/process-limits.ts";
import { usePlatform } from "../platform.ts";
import { run } from "../program.ts";
import { connectRoot } from "./bare-instance.ts";
import { distribution, ms, p50, p99, report, timed } from "./figures.ts";
import { pgbenchMissing } from "./pgbench.ts";

const TENANTS = Number(process.env["BENCH_TENANTS"] ?? 1_000);
const TABLES_EACH = 5;
const MANY_TABLES = 200;
const ROUNDS = 10;
/** Between two looks of an agent. */
const PAUSE_MS = 45_000;
const NEIGHBOUR_ROUNDS = 2;
const MEMORY_BYTES = 512 * 2 ** 20;
const SCOPE = { shared: true, forced: false };

const platform = usePlatform();
type Root = Awaited<ReturnType<typeof connectPlatform>>;

async function make(root: Root, verifier: string, tables: number) {
  const tenantId = newId("ten");
  await ensureTenant(root, { tenantId, verifier, connectionLimit: 20, dedicated: false });
  const name = quoteIdentifier(tenantId);
  const creations = Array.from({ length: tables }, (_, index) => {
    return `create table ${name}.t${index} (id bigint primary key, note text)`;
  });
  await root.query([`set local session authorization ${name}`, ...creations].join(";\n"));
  return { tenantId, connectionLimit: 20 };
}

/**
 * Lets a session have as much memory as one of the agent. Returns how it gives way, as that does.
 */
async function likeTheAgents(session: Root, instanceId: string) {
  const server = platform().pieces().instances.get(instanceId) ?? 0;
  const words = readFileSync(`/proc/${server}/cmdline`, "utf8").split("\0");
  const home = words.find((word) => word.includes("/instances/"))?.split("/instances/")[0] ?? "";
  const groups = await openControlGroups(home);
  const [backend] = await backendsOf(server, new Set([backendPidOf(session) ?? 0]));
  if (groups === undefined || backend === undefined) return async () => undefined;
  await limitMemory(backend.pid, MEMORY_BYTES);
  const can = await giveWay(groups, instanceId, backend);
  if (can === undefined) throw new Error(`the server of ${home} is in no group of its agent`);
  await can();
  return () => giveWay(groups, instanceId, backend);
}

/**
 * How long statements of a tenant take, alone and while all are proven as an agent does it: gently,
 * and with as long a pause after it as there is between two of its looks. Both are measured in
 * turns, and by a program of its own: the one that proves is busy.
 */
async function neighbourBeside(prove: () => Promise<unknown>, roundMs: number) {
  const { connection } = await platform().createTenant({ name: "neighbour" });
  const client = await platform().connect(connection.uri);
  await client.query("create table t as select i, md5(i::text) x from generate_series(1, 1000) i");
  const [alone, beside]: [number[][], number[][]] = [[], []];
  for (let round = 0; round < NEIGHBOUR_ROUNDS; round += 1) {
    alone.push(await statementsFor(connection.uri, roundMs));
    const [taken] = await Promise.all([statementsFor(connection.uri, roundMs), prove()]);
    beside.push(taken);
  }
  return { alone: alone.flat(), beside: beside.flat() };
}

/** Milliseconds that each statement of one client took, one after the other for so long. */
async function statementsFor(uri: string, roundMs: number): Promise<number[]> {
  const directory = mkdtempSync(join(tmpdir(), "aerodb-bench-"));
  try {
    const time = ["--time", `${Math.ceil(roundMs / 1000)}`];
    const words = ["--no-vacuum", ...time, "--log", "--log-prefix", join(directory, "log")];
    const input = "select count(*), max(x) from t;";
    const ended = await run("pgbench", [...words, "--file", "-", uri], {
      ...{ input, deadlineMs: roundMs + 60_000 },
    });
    if (ended.code !== 0) throw new Error(`pgbench ended with ${ended.code}: ${ended.stderr}`);
    const logs = readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"));
    // Client, transaction, microseconds, and more.
    return logs
      .flatMap((log) => {
        return log.split("\n").flatMap((line) => (line === "" ? [] : (line.split(" ")[2] ?? [])));
      })
      .map((microseconds) => Number(microseconds) / 1_000);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test.skipIf(pgbenchMissing())("proofs of isolation", { timeout: 1_800_000 }, async () => {
  await platform().createTenant({ name: "first" });
  const [instanceId = ""] = platform().pieces().instances.keys();
  const root = await connectRoot(platform(), instanceId);
  const giveWayHere = await likeTheAgents(root, instanceId);
  const verifier = await scramVerifier("the-password-of-the-bench");
  const wide = await make(root, verifier, MANY_TABLES);
  const alone: number[] = [];
  const one = () => proveIsolation(root, SCOPE, [wide]);
  for (let round = 0; round < ROUNDS; round += 1) alone.push(await timed(one));
  const asked = [wide];
  while (asked.length < TENANTS) asked.push(await make(root, verifier, TABLES_EACH));
  const among: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) among.push(await timed(one));
  let proven = 0;
  const allMs = await timed(async () => {
    proven = (await proveIsolation(root, SCOPE, asked)).filter(isProven).length;
  });
  const gently = async () => {
    const end = await giveWayHere();
    await proveIsolation(root, SCOPE, asked, { gently: true }).finally(end);
  };
  const gentlyMs = await timed(gently);
  report(`Proofs of ${TENANTS} tenants, catalogue and attempts`, [
    { what: "without a rest", measured: ms(allMs), reach: "-" },
    { what: "in the background", measured: ms(gentlyMs), reach: "<= 60 s for 1,000" },
  ]);
  const noticed = await neighbourBeside(gently, gentlyMs + PAUSE_MS);
  await root.end();

  report(`Proofs of isolation, ${TENANTS} tenants of ${TABLES_EACH} tables`, [
    {
      what: `one tenant of ${MANY_TABLES} tables, alone`,
      measured: distribution(alone),
      reach: "<= 300 ms",
    },
    {
      what: `the same among ${TENANTS}`,
      measured: distribution(among),
      reach: `${(p50(among) / p50(alone)).toFixed(2)} times that`,
    },
    {
      what: "a neighbour's statement, alone",
      measured: distribution(noticed.alone),
      reach: "-",
    },
    {
      what: "the same while the agent proves them again and again",
      measured: distribution(noticed.beside),
      reach: `p99 ${(p99(noticed.beside) / p99(noticed.alone)).toFixed(2)} times that, <= 1.10`,
    },
  ]);
  expect(proven).toBe(asked.length);
});
