/**
 * An agent one version behind control, and one ahead of it: the commit before this one is taken
 * from the history and runs beside the working tree, over the packages that are installed here.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startThrowawayPostgres } from "@aerodb/testkit";
import { expect, onTestFinished, test } from "vitest";
import { unmountUnder } from "../../agent/src/storage/mounts.ts";
import { type Piece, startPiece } from "../piece-process.ts";
import { processesOf, signal } from "../processes.ts";
import { REPOSITORY } from "../program.ts";
import { until } from "../until.ts";
import { ask, KEY } from "./ask.ts";

const previous = previousCommit();
const reason = previous === undefined ? " (no earlier commit: no clone, or a shallow one)" : "";

/** The commit that this one grew out of; undefined where the history does not hold it. */
function previousCommit(): string | undefined {
  const git = (...words: readonly string[]): string =>
    execFileSync("git", words, {
      cwd: REPOSITORY,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    // What is not committed yet is newer than the last commit; a clean tree is that commit.
    const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
    return git("rev-parse", "--verify", changed ? "HEAD" : "HEAD~1");
  } catch {
    return undefined;
  }
}

/** The files of a commit, in a directory that resolves packages as this repository does. */
function checkOut(commit: string): string {
  const directory = mkdtempSync(join(tmpdir(), "aerodb-previous-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const archive = execFileSync("git", ["archive", commit], {
    cwd: REPOSITORY,
    maxBuffer: 256 * 1024 * 1024,
  });
  execFileSync("tar", ["--extract", "--directory", directory], { input: archive });
  linkInstalled(directory);
  return directory;
}

/** Packages of others are shared; our own are those of the commit. */
function linkInstalled(directory: string): void {
  const installed = join(REPOSITORY, "node_modules");
  const own = join(directory, "node_modules");
  mkdirSync(join(own, "@aerodb"), { recursive: true });
  for (const name of readdirSync(installed)) {
    if (name !== "@aerodb" && name !== ".cache")
      symlinkSync(join(installed, name), join(own, name));
  }
  const packages = readdirSync(join(directory, "packages")).map((name) => join("packages", name));
  for (const folder of [...packages, "control", "agent", "gateway", "cli"]) {
    const { name } = JSON.parse(readFileSync(join(directory, folder, "package.json"), "utf8"));
    symlinkSync(join(directory, folder), join(own, name));
    const nested = join(REPOSITORY, folder, "node_modules");
    if (existsSync(nested)) symlinkSync(nested, join(directory, folder, "node_modules"));
  }
}

async function startControl(root: string) {
  const catalogue = await startThrowawayPostgres();
  const home = mkdtempSync(join(tmpdir(), "aerodb-skew-"));
  const piece = startPiece(
    "control",
    {
      AERODB_CONTROL_CATALOGUE_URL: catalogue.url("postgres"),
      AERODB_CONTROL_HOME: join(home, "control"),
      AERODB_CONTROL_API_PORT: "0",
      AERODB_CONTROL_LINK_PORT: "0",
      AERODB_CONTROL_PLATFORM_KEY: KEY,
    },
    root,
  );
  onTestFinished(async () => {
    await piece.stop();
    await catalogue.close();
    rmSync(home, { recursive: true, force: true });
  });
  const { apiPort = 0 } = await piece.ready;
  return { ...piece, apiAddress: `127.0.0.1:${apiPort}` };
}

type Control = Awaited<ReturnType<typeof startControl>>;

async function startAgent(root: string, control: Control, home: string): Promise<Piece> {
  const asked = { kind: "host", region: "us-east-1" };
  const { body } = await ask(control, "HostService/CreateJoinToken", asked);
  const agent = startPiece(
    "agent",
    {
      AERODB_AGENT_HOME: home,
      AERODB_AGENT_API_ADDRESS: control.apiAddress,
      AERODB_AGENT_JOIN_TOKEN: body.joinToken,
      AERODB_AGENT_NAME: "skewed",
    },
    root,
  );
  onTestFinished(async () => {
    await agent.interrupt();
  });
  await agent.ready;
  return agent;
}

/** A home of an agent, of which nothing is left after the test: no server either. */
function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), "aerodb-skewed-"));
  onTestFinished(async () => {
    await until("the servers to be gone", () => {
      for (const { pid } of processesOf([home])) signal(pid, "SIGKILL");
      return processesOf([home]).length === 0;
    });
    await unmountUnder(home);
    rmSync(home, { recursive: true, force: true, maxRetries: 10 });
  });
  return home;
}

/** A tenant of each kind comes into being, is changed and goes; and the diagnosis is clean. */
async function expectService(control: Control, prefix: string): Promise<void> {
  await until(
    "a tenant to be creatable",
    async () => {
      return (await ask(control, "PlatformService/CheckReadiness", {})).body.ready === true;
    },
    30_000,
  );
  for (const plan of ["free", "pro"]) {
    const name = `${prefix}-${plan}`;
    const { ok, body } = await ask(control, "TenantService/CreateTenant", { name, plan });
    expect(body, `creating ${name}`).toMatchObject({ tenant: { status: "active" } });
    expect(ok).toBe(true);
    const tenant = body.tenant.tenantId;
    expect((await ask(control, "TenantService/RotateCredentials", { tenant })).ok).toBe(true);
  }
  const { body } = await ask(control, "HostService/Diagnose", {});
  expect(body).toMatchObject({ hostsChecked: 1 });
  expect(body.findings ?? []).toEqual([]);
  const gone = await ask(control, "TenantService/DeleteTenant", { tenant: `${prefix}-pro` });
  expect(gone.ok).toBe(true);
}

/** A tenant that was suspended under another agent is so under this one, until it is not. */
async function expectReinstatable(
  control: Control,
  suspension: { readonly tenant: string; readonly reason: string },
): Promise<void> {
  const { tenant } = suspension;
  const { body } = await ask(control, "TenantService/GetTenant", { tenant });
  expect(body.tenant).toMatchObject({ status: "suspended", statusReason: suspension.reason });
  await until(
    "the suspension to be answered",
    async () => (await ask(control, "TenantService/SuspendTenant", suspension)).ok,
    60_000,
  );
  const back = await ask(control, "TenantService/ReinstateTenant", { tenant });
  expect(back.body, "reinstating").toMatchObject({ tenant: { status: "active" } });
}

test.skipIf(previous === undefined)(
  `an agent of the commit before serves under this control, and is upgraded in place${reason}`,
  { timeout: 180_000 },
  async () => {
    const old = checkOut(previous ?? "");
    const control = await startControl(REPOSITORY);
    const home = newHome();
    // An agent that does not know of it yet says nothing to it; the one that follows does.
    const suspension = { tenant: "before-free", reason: "unpaid" };
    let suspending: Promise<unknown> | undefined;
    for (const [prefix, root] of [
      ["before", old],
      ["upgraded", REPOSITORY],
    ] as const) {
      const agent = await startAgent(root, control, home);
      await expectService(control, prefix);
      if (prefix === "before") suspending = ask(control, "TenantService/SuspendTenant", suspension);
      else await expectReinstatable(control, suspension);
      await agent.stop();
    }
    await suspending;
  },
);

test.skipIf(previous === undefined)(
  `this agent serves under control of the commit before${reason}`,
  { timeout: 180_000 },
  async () => {
    const control = await startControl(checkOut(previous ?? ""));
    const home = newHome();
    const agent = await startAgent(REPOSITORY, control, home);
    await expectService(control, "ahead");
    await agent.stop();
  },
);
