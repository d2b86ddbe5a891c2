/** The doctor is what the other fault tests ask, so it must see what is planted for it to find. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import pg from "pg";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Finding, usePlatform } from "../platform.ts";
import type { Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

const NOBODY = "ten_01jc7w4x9dep8t3w8rj0sxv5n2";
const NO_INSTANCE = "ins_01jc7w4x9dep8t3w8rj0sxv5n2";

const platform = usePlatform();
let tenant: Tenant;
let agentHome: string;

beforeAll(async () => {
  tenant = await platform().createTenant({ name: "neighbour" });
  await platform().settled();
  agentHome = join(platform().home, "state", "agents", "agent-1");
});

/** A session of the platform's superuser, over the socket below the directory. */
async function openAsRoot(directory: string, passwordFile: string): Promise<pg.Client> {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const socket = names.find((name) => name.endsWith(".s.PGSQL.5432")) ?? "";
  const client = new pg.Client({
    host: join(directory, dirname(socket)),
    user: "aerodb_root",
    database: "aerodb",
    password: readFileSync(passwordFile, "utf8").trim(),
  });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

async function findingAbout(subject: string): Promise<Finding> {
  return until(`a finding about ${subject}`, async () => {
    const findings = await platform().doctor();
    return findings.find((each) => JSON.stringify(each).includes(subject));
  });
}

describe("the doctor finds", () => {
  test("a role and a schema that are no tenant's", async () => {
    const root = await openAsRoot(agentHome, join(agentHome, "root-password"));
    await root.query(`create role ${NOBODY} login; create schema ${NOBODY}`);
    expect((await findingAbout(NOBODY)).kind).toBe("ORPHAN_ROLE");
    await root.query(`drop schema ${NOBODY}; drop role ${NOBODY}`);
    await platform().settled();
  });

  test("an instance's directory that nobody desired", async () => {
    const directory = join(agentHome, "instances", NO_INSTANCE);
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    mkdirSync(join(directory, "data"), { recursive: true });
    expect((await findingAbout(NO_INSTANCE)).kind).toMatch(/^FOREIGN_(DIRECTORY|PATH)$/);
    rmSync(directory, { recursive: true });
    await platform().settled();
  });

  test("a process that outlived its instance's directory", async () => {
    const directory = join(agentHome, "instances", NO_INSTANCE);
    mkdirSync(join(directory, "data"), { recursive: true });
    const stray = spawn("sleep", ["300"], { cwd: join(directory, "data"), stdio: "ignore" });
    onTestFinished(() => {
      stray.kill("SIGKILL");
    });
    rmSync(directory, { recursive: true });
    expect((await findingAbout(String(stray.pid))).kind).toBe("ORPHAN_PROCESS");
    stray.kill("SIGKILL");
    await platform().settled();
  });

  test("a tenant's role that is missing, which the platform then repairs", async () => {
    const root = await openAsRoot(agentHome, join(agentHome, "root-password"));
    const { tenant_id } = tenant;
    await root.query(
      `drop schema ${tenant_id}; drop owned by ${tenant_id}; drop role ${tenant_id}`,
    );
    expect((await findingAbout(tenant_id)).kind).toBe("MISSING_ROLE");
    const path = `/v1/tenants/${tenant_id}/credentials:rotate`;
    expect((await platform().request("POST", path)).status).toBe(200);
    await platform().settled();
  });

  test("a sum in the catalogue that is not the sum of its parts", async () => {
    const directory = join(platform().home, "state", "catalogue");
    const root = await openAsRoot(directory, join(directory, "password"));
    await root.query("update hosts set reserved_memory_mib = reserved_memory_mib + 7");
    const findings = await platform().doctor();
    expect(findings.map(({ kind }) => kind)).toEqual(["RESERVATION_MISMATCH"]);
    await root.query("update hosts set reserved_memory_mib = reserved_memory_mib - 7");
    await platform().settled();
  });

  test("a file in the home that the platform did not put there", async () => {
    const stray = join(platform().home, "notes.txt");
    writeFileSync(stray, "whose is this?");
    expect((await findingAbout(stray)).subject).toBe(stray);
    rmSync(stray);
    await platform().settled();
  });
});
