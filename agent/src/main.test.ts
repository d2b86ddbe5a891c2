/** The agent as a process: it is started, told, killed at every step, and started again. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveIdentity, serverCredentials } from "@aerodb/identity";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { findPostmaster } from "@aerodb/postgres";
import { InstanceState, TenantState } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { newId, within } from "@aerodb/runtime";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import {
  ControlStandIn,
  instanceIn,
  tenantIn,
  wireInstance,
  wireTenant,
} from "./control-stand-in.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";

// Every test starts several processes, and the first builds the engine and its template.
vi.setConfig({ testTimeout: 60_000 });

const MAIN = join(import.meta.dirname, "main.ts");
const validForDays = 1;

let directory: string;
let home: string;
let control: ControlStandIn;
let agent: ChildProcess;
let generation: bigint;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "agent-process-"));
  chmodSync(directory, 0o711);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

beforeEach(async () => {
  home = mkdtempSync(join(directory, "home-"));
  mkdirSync(join(home, "identity"));
  const authority = await openCertificateAuthority(directory);
  const ask = { dnsNames: [], ipAddresses: [], validForDays };
  const own = await authority.issue({ ...ask, peer: { kind: "control", id: "" } });
  const caCertificate = authority.certificate;
  control = new ControlStandIn();
  const port = await control.listen(serverCredentials({ ...own, caCertificate }));
  const id = newId("hst");
  const issued = await authority.issue({ ...ask, peer: { kind: "host", id } });
  const linkAddress = `127.0.0.1:${port}`;
  saveIdentity(join(home, "identity"), {
    ...issued,
    kind: "host",
    id,
    caCertificate,
    linkAddress,
  });
  generation = 0n;
});

afterEach(async () => {
  if (agent.exitCode === null && agent.signalCode === null) await stop("SIGINT");
  control.close();
});

async function start(failpoints = ""): Promise<void> {
  agent = fork(MAIN, {
    env: {
      PATH: process.env["PATH"],
      AERODB_AGENT_HOME: home,
      AERODB_AGENT_API_ADDRESS: "127.0.0.1:1",
      AERODB_AGENT_ENGINE_DIRECTORY: join(directory, "engines"),
      AERODB_AGENT_ENGINES: join(home, "installed"),
      AERODB_AGENT_LOG_LEVEL: "warn",
      AERODB_AGENT_FAILPOINTS: failpoints,
    },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const ready = once(agent, "message").then(([message]) => message);
  const gone = once(agent, "exit").then(() => Promise.reject(new Error("the agent ended")));
  const message = await within({ ms: 15_000, expecting: "the agent" }, Promise.race([ready, gone]));
  expect(message).toEqual({ ready: { edgePort: expect.any(Number) } });
  gone.catch(() => undefined);
}

async function stop(signal: NodeJS.Signals): Promise<void> {
  agent.kill(signal);
  await ended();
}

async function ended(expecting = "the agent to end"): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  await within({ ms: 15_000, expecting }, once(agent, "exit"));
}

async function say(present: boolean): Promise<void> {
  generation += 1n;
  const change = { present, generation };
  const value = {
    generation,
    whole: true,
    instances: [
      wireInstance({ ...shared, generation: 1n }),
      wireInstance({ ...dedicated, ...change }),
    ],
    tenants: [wireTenant({ ...guest, ...change }), wireTenant({ ...owner, ...change })],
  };
  await control.hears("a hello", (heard) => heard.find((each) => each.case === "hello"));
  control.say({ case: "desired", value });
}

async function bothAre(state: TenantState): Promise<void> {
  await control.hears(`both tenants to be ${TenantState[state]}`, (heard) => {
    const both = [guest, owner].map(({ tenantId }) => tenantIn(heard, tenantId));
    const as = both.every((each) => each?.state === state && each.generation === generation);
    return as ? true : undefined;
  });
}

const shared = sampleInstance();
const dedicated = sampleInstance({ shared: false });
const guest = sampleTenant(shared.spec.id);
const owner = sampleTenant(dedicated.spec.id);

function dataOf(id: string): string {
  return join(home, "instances", id, "data");
}

test("what changed of the host is told at once when the agent is asked to look again", async () => {
  await start();
  const hello = await control.hears("a hello", (heard) => {
    return heard.flatMap((each) => (each.case === "hello" ? [each.value] : []))[0];
  });
  expect(hello.fingerprint).toMatchObject({ driver: "process", architecture: process.arch });
  expect(hello.fingerprint?.engines).not.toContain("17.10");
  mkdirSync(join(home, "installed"));
  for (const program of ["postgres", "initdb"]) {
    const script = '#!/bin/sh\necho "postgres (PostgreSQL) 17.10"\n';
    writeFileSync(join(home, "installed", program), script, { mode: 0o755 });
  }
  agent.kill("SIGHUP");
  const told = await control.hears("the fingerprint", (heard) => {
    // On a busy machine what was found out late is told before.
    const all = heard.flatMap((each) => (each.case === "fingerprint" ? [each.value] : []));
    return all.find(({ engines }) => engines.includes("17.10"));
  });
  expect(told.bootId).toBe(hello.fingerprint?.bootId);
});

test("servers outlive an agent that is ended or killed, and end when it shuts down", async () => {
  await start();
  await say(true);
  await bothAre(TenantState.READY);
  const pid = (await findPostmaster(dataOf(dedicated.spec.id)))?.pid;
  expect(pid).toBeGreaterThan(0);

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    await stop(signal);
    expect((await findPostmaster(dataOf(dedicated.spec.id)))?.pid).toBe(pid);
    await start();
  }
  agent.disconnect();
  await ended();
  expect((await findPostmaster(dataOf(dedicated.spec.id)))?.pid).toBe(pid);

  await start();
  await stop("SIGINT");
  expect(agent.exitCode).toBe(0);
  for (const { spec } of [shared, dedicated]) {
    expect(await findPostmaster(dataOf(spec.id))).toBeUndefined();
  }
});

test("a second agent on the same home is refused with a sentence", async () => {
  await start();
  const first = agent;
  await expect(start()).rejects.toThrow();
  expect(agent.exitCode).not.toBe(0);
  agent.kill("SIGKILL");
  agent = first;
});

// The other steps of an instance are those of a driver: test/contract/driver kills at each.
const MAKING = [
  "agent.ledger.taken",
  "agent.instance.make",
  "agent.instance.cloned",
  "agent.instance.furnished",
  "agent.instance.made",
  "agent.instance.start",
  "agent.instance.enclosed",
  "agent.instance.started",
  "agent.tenant.ensure",
  "agent.tenant.ensured",
  "agent.report.sent",
];

async function isMade(): Promise<void> {
  control.heard.length = 0;
  await start();
  await say(true);
  await bothAre(TenantState.READY);
  const left = readdirSync(join(home, "instances")).toSorted();
  expect(left).toEqual([shared.spec.id, dedicated.spec.id].toSorted());
}

// One life after the other, each a step further: it begins with what all before have left.
test("an agent killed at each step of making makes it all", { timeout: 180_000 }, async () => {
  for (const point of MAKING) {
    control.heard.length = 0;
    // What is desired is in its ledger by then: it may come there before it is told again.
    void start(`${point}=kill`)
      .then(() => say(true))
      .catch(() => undefined);
    await ended(`the agent to come to ${point}`);
    expect(agent.signalCode, point).toBe("SIGKILL");
  }
  await isMade();
});

test.each(["agent.instance.cloned", "agent.instance.started", "agent.tenant.ensured"])(
  "an agent killed at the second %s makes it all once restarted",
  async (point) => {
    await start(`${point}=kill@2`);
    await say(true);
    await ended();
    await isMade();
  },
);

const destroying = ["agent.instance.unlinked", "agent.tenant.drop", "agent.tenant.dropped"];

test.each(destroying)("an agent killed at %s removes it all once restarted", async (point) => {
  await start(`${point}=kill`);
  await say(true);
  await bothAre(TenantState.READY);
  await say(false);
  await ended();
  control.heard.length = 0;
  await start();
  await say(false);
  await bothAre(TenantState.ABSENT);
  await control.hears("the instance to be gone", (heard) => {
    const seen = instanceIn(heard, dedicated.spec.id);
    return seen?.state === InstanceState.ABSENT ? true : undefined;
  });
  // What the host can do is found out there, too.
  const left = readdirSync(join(home, "instances")).filter((name) => !name.startsWith(".probe-"));
  expect(left).toEqual([shared.spec.id]);
  expect(readdirSync(join(home, "run"))).toHaveLength(1);
});

test("the host's password is in a file of its own and nowhere else", async () => {
  await start();
  await say(true);
  await bothAre(TenantState.READY);
  const password = readFileSync(join(home, "root-password"), "utf8").trim();
  expect(password.length).toBeGreaterThanOrEqual(32);
  for (const { spec } of [shared, dedicated]) {
    const log = join(home, "instances", spec.id, "log", "postgres.log");
    expect(readFileSync(log, "utf8")).not.toContain(password);
  }
  expect(readFileSync(join(home, "ledger.db")).includes(password)).toBe(false);
});
