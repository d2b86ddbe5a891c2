/**
 * Identities in their whole life, between real processes: joining by the command line, renewal,
 * revocation at one control that is felt at another, and joining again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, openDatabase, sql } from "@aerodb/db";
import { type Identity, loadIdentity } from "@aerodb/identity";
import { EXIT } from "@aerodb/runtime";
import { startThrowawayPostgres, type ThrowawayPostgres } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type Piece, startPiece } from "../piece-process.ts";
import type { AnyBody } from "../platform-client.ts";
import { AERODB, cleanEnvironment, REPOSITORY, run } from "../program.ts";
import { until } from "../until.ts";
import { ask, KEY } from "./ask.ts";

// A life is lived three times over, and agents are started again and again.
vi.setConfig({ testTimeout: 180_000 });

const DAY_SECONDS = 86_400;
/** What the issue of this asks for: a life in which much happens before a test ends. */
const LIFE_SECONDS = 20;

let catalogue: ThrowawayPostgres;
let database: Database;
let home: string;
const controls: (Piece & Control)[] = [];
const started: ChildProcess[] = [];

interface Control {
  readonly apiAddress: string;
  readonly linkAddress: string;
}

beforeAll(async () => {
  catalogue = await startThrowawayPostgres();
  const url = catalogue.url("postgres");
  database = openDatabase({ url, maxConnections: 1, applicationName: "identity-test" });
  home = mkdtempSync(join(tmpdir(), "aerodb-identity-"));
});

afterEach(async () => {
  for (const each of started.splice(0)) await endOf(each, "SIGINT");
});

afterAll(async () => {
  await Promise.all(controls.map((control) => control.stop()));
  await database.close();
  await catalogue.close();
  rmSync(home, { recursive: true, force: true });
});

async function startControl(lifeSeconds: number): Promise<Control> {
  const piece = startPiece("control", {
    AERODB_CONTROL_CATALOGUE_URL: catalogue.url("postgres"),
    AERODB_CONTROL_HOME: join(home, "control"),
    AERODB_CONTROL_API_PORT: "0",
    AERODB_CONTROL_LINK_PORT: "0",
    AERODB_CONTROL_PLATFORM_KEY: KEY,
    AERODB_CONTROL_CERTIFICATE_DAYS: String(lifeSeconds / DAY_SECONDS),
  });
  const { apiPort, linkPort } = await piece.ready;
  const control = {
    ...piece,
    apiAddress: `127.0.0.1:${apiPort}`,
    linkAddress: `127.0.0.1:${linkPort}`,
  };
  controls.push(control);
  return control;
}

/** Runs a verb of the command line against a control. */
async function aerodb(control: Control, words: readonly string[]): Promise<AnyBody> {
  const ended = await run(process.execPath, [AERODB, ...words, "--output", "json"], {
    environment: { AERODB_URL: `http://${control.apiAddress}`, AERODB_KEY: KEY },
  });
  if (ended.code !== 0) throw new Error(`${words.join(" ")}: ${ended.stderr}`);
  return JSON.parse(ended.stdout);
}

/** `aerodb agent …` in the foreground, as a person would start it. */
function startAgent(control: Control, words: readonly string[]): { readonly said: () => string } {
  const command = ["agent", "--control", control.apiAddress, ...words];
  const child = spawn(process.execPath, [AERODB, ...command], {
    cwd: REPOSITORY,
    env: { ...cleanEnvironment(), AERODB_AGENT_ENGINE_DIRECTORY: join(home, "engines") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  }
  started.push(child);
  return { said: () => said };
}

async function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  child.kill(signal);
  await until("a process to end", () => child.exitCode !== null || child.signalCode !== null);
  return child.exitCode;
}

async function hostOf(control: Control, host: string): Promise<AnyBody> {
  return (await ask(control, "HostService/GetHost", { host })).body.host;
}

async function connected(control: Control, host: string, ms?: number): Promise<AnyBody> {
  return until(
    `${host} to be connected`,
    async () => {
      const found = await hostOf(control, host);
      return found?.connected === true && found;
    },
    ms,
  );
}

function identityIn(agentHome: string): Identity {
  return loadIdentity(join(agentHome, "identity")) ?? expect.fail("it has not joined");
}

function serialIn(agentHome: string): string {
  return new X509Certificate(identityIn(agentHome).certificate).serialNumber;
}

test("an agent joins by the command line, and renews a short life while its session stays", async () => {
  const control = await startControl(LIFE_SECONDS);
  const made = await aerodb(control, [
    ...["hosts", "token", "create", "--region", "eu", "--label", "rack=a1", "--ttl", "15m"],
  ]);
  expect(made).toMatchObject({ api_address: control.apiAddress });
  const agentHome = join(home, "short");
  const words = ["--join-token", made.join_token, "--home", agentHome, "--name", "short-lived"];
  const agent = startAgent(control, words);
  const host = await connected(control, "short-lived", 40_000);
  expect(host).toMatchObject({ region: "eu", labels: { rack: "a1" } });

  const sessionSince = await sessionStart(host.hostId);
  const serials = new Set<string>();
  // Long enough for the keepalive of a connection that was wrongly closed to end its stream.
  await until(
    "four certificates to have been held",
    () => serials.add(serialIn(agentHome)).size === 4,
    4 * LIFE_SECONDS * 1_000,
  );
  expect(await sessionStart(host.hostId)).toBe(sessionSince);
  expect(agent.said()).not.toContain("the link to control is down");
  expect((await hostOf(control, "short-lived")).clockOffsetMs).toBeTypeOf("number");
  const [child] = started.splice(0);
  expect(child && (await endOf(child, "SIGINT")), "exit code after Ctrl-C").toBe(0);
});

async function sessionStart(hostId: string): Promise<string | undefined> {
  const [row] = await database.query<{ at: string }>(sql`
    select connected_at::text as at from hosts where id = ${hostId}`);
  return row?.at;
}

test("a host revoked at one control is gone from another within seconds, until it joins again", async () => {
  const [near, far] = [await startControl(DAY_SECONDS), await startControl(DAY_SECONDS)];
  const { join_token } = await aerodb(near, ["hosts", "token", "create", "--region", "eu"]);
  const agentHome = join(home, "revoked");
  const words = ["--home", agentHome, "--name", "stolen-one"];
  const agent = startAgent(near, [...words, "--join-token", join_token]);
  const { hostId } = await connected(far, "stolen-one", 40_000);
  const copy = join(home, "copy");
  cpSync(join(agentHome, "identity"), join(copy, "identity"), { recursive: true });

  await aerodb(far, ["hosts", "revoke", "stolen-one", "--reason", "it was in the car"]);
  await until("the agent to be told", () => agent.said().includes("was revoked on"));
  const revoked = await hostOf(near, hostId);
  expect(revoked).toMatchObject({ revokedReason: "it was in the car" });
  expect(revoked.connected ?? false).toBe(false);

  // A token for somebody new is nothing for it; one that names it is.
  await endOf(started.pop() as ChildProcess, "SIGTERM");
  const other = await aerodb(near, ["hosts", "token", "create", "--region", "eu"]);
  const refused = startAgent(near, [...words, "--join-token", other.join_token]);
  await until("it to be refused", () => refused.said().includes("for something else"));
  expect(refused.said()).toContain(`aerodb hosts token create --host ${hostId}`);
  await endOf(started.pop() as ChildProcess, "SIGTERM");

  const before = serialIn(agentHome);
  const again = await aerodb(far, ["hosts", "token", "create", "--host", "stolen-one"]);
  startAgent(near, [...words, "--join-token", again.join_token]);
  expect(await connected(far, "stolen-one", 40_000)).toMatchObject({ hostId });
  expect(serialIn(agentHome)).not.toBe(before);
  await endOf(started.pop() as ChildProcess, "SIGTERM");

  // Who copied the identity of before has nothing.
  const thief = startAgent(near, ["--home", copy, "--name", "stolen-one"]);
  await until("the copy to be refused", () => thief.said().includes("has joined again"), 40_000);
  expect((await hostOf(near, hostId)).connected ?? false).toBe(false);
});

test("a stolen token that was used joins no other machine, and neither does a gateway's", async () => {
  const control = controls.at(-1) ?? (await startControl(DAY_SECONDS));
  const { join_token } = await aerodb(control, ["hosts", "token", "create", "--region", "eu"]);
  startAgent(control, [
    "--home",
    join(home, "first"),
    "--name",
    "first",
    "--join-token",
    join_token,
  ]);
  await connected(control, "first", 40_000);
  const shown = await run(
    process.execPath,
    [AERODB, "hosts", "token", "create", "--host", "first"],
    {
      environment: { AERODB_URL: `http://${control.apiAddress}`, AERODB_KEY: KEY },
    },
  );
  expect(shown.stdout).toContain(
    `  aerodb agent --control ${control.apiAddress} --join-token adb_`,
  );
  const forGateway = await aerodb(control, ["hosts", "token", "create", "--kind", "gateway"]);
  for (const token of [join_token, forGateway.join_token]) {
    const thief = startAgent(control, ["--home", join(home, "thief"), "--join-token", token]);
    const child = started.at(-1) as ChildProcess;
    await until("the thief to end", () => child.exitCode !== null, 40_000);
    expect(child.exitCode).toBe(EXIT.refused);
    expect(thief.said()).toContain("used by another or for something else");
    expect(thief.said(), "a sentence, and no place in our code").not.toMatch(/^\s+at /m);
  }
  const files = readFileSync(join(home, "first", "identity", "identity.json"), "utf8");
  expect(files).not.toContain(join_token.split("_").at(-1));
});

test("who was given the link port is told so, and leaves nothing half tried behind", async () => {
  const control = controls.at(-1) ?? (await startControl(DAY_SECONDS));
  const { join_token } = await aerodb(control, ["hosts", "token", "create", "--region", "eu"]);
  const agentHome = join(home, "wrong-port");
  const wrong = { ...control, apiAddress: control.linkAddress };
  const agent = startAgent(wrong, ["--home", agentHome, "--join-token", join_token]);
  const child = started.at(-1) as ChildProcess;
  await until("the agent to end", () => child.exitCode !== null, 40_000);
  expect(agent.said()).toContain(`${control.linkAddress} is the link port of control`);
  expect(readdirSync(agentHome).filter((name) => name.includes(".try-"))).toEqual([]);
});

test("an agent of a removed host is refused, and joins anew as another host", async () => {
  const control = await startControl(DAY_SECONDS);
  const token = async () =>
    (await aerodb(control, ["hosts", "token", "create", "--region", "eu"])).join_token as string;
  const agentHome = join(home, "removed");
  const words = ["--home", agentHome, "--name", "old-one"];
  startAgent(control, [...words, "--join-token", await token()]);
  const { hostId } = await connected(control, "old-one", 40_000);
  await expect(aerodb(control, ["hosts", "remove", "old-one"])).rejects.toThrow("stop its agent");
  await endOf(started.pop() as ChildProcess, "SIGTERM");
  await until("it to be gone", async () => !(await hostOf(control, hostId)).connected);
  const removed = await aerodb(control, ["hosts", "remove", "old-one"]);
  expect(removed).toMatchObject({ host_id: hostId, name: "old-one" });
  expect(await hostOf(control, "old-one")).toBeUndefined();

  const back = startAgent(control, words);
  await until("the agent to be told", () => back.said().includes("was removed on"));
  await endOf(started.pop() as ChildProcess, "SIGTERM");
  const held = startAgent(control, [...words, "--join-token", await token()]);
  await until("it to be told what to do", () => held.said().includes("move its identity away"));
  await endOf(started.pop() as ChildProcess, "SIGTERM");

  renameSync(join(agentHome, "identity"), join(home, "identity-of-before"));
  startAgent(control, [...words, "--join-token", await token()]);
  const anew = await connected(control, "old-one", 40_000);
  expect(anew.hostId).not.toBe(hostId);
});

test("a copy that runs beside its host is refused, and the host keeps its place", async () => {
  const control = await startControl(DAY_SECONDS);
  const { join_token } = await aerodb(control, ["hosts", "token", "create", "--region", "eu"]);
  const [own, copied] = [join(home, "own"), join(home, "copied")];
  startAgent(control, ["--home", own, "--name", "own", "--join-token", join_token]);
  const { hostId } = await connected(control, "own", 40_000);
  cpSync(join(own, "identity"), join(copied, "identity"), { recursive: true });

  const copy = startAgent(control, ["--home", copied, "--name", "own"]);
  const sentence = `another agent runs with the identity of host ${hostId}`;
  await until("the copy to be refused", () => copy.said().includes(sentence), 40_000);
  await connected(control, "own");
  const filter = { kind: "host.conflict", subject: hostId };
  const { events } = (await ask(control, "EventService/ListEvents", filter)).body;
  expect(events).toHaveLength(1);
  const { kept, refused } = events[0].after;
  expect(kept.edge_address).not.toBe(refused.edge_address);
  const [reached] = await database.query<{ edge_address: string }>(sql`
    select edge_address from hosts where id = ${hostId}`);
  expect(reached).toEqual({ edge_address: kept.edge_address });
});
