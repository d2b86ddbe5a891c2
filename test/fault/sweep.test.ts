/** What nobody answers for is removed on an operator's word, and nothing else is. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import type { Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { openCatalogue } from "./catalogue.ts";

const NOBODYS = "ins_01jc7w4x9dep8t3w8rj0sxv5n2";

const platform = usePlatform();
let lost: Tenant;
let neighbour: Tenant;
let agentHome: string;

beforeAll(async () => {
  lost = await platform().createTenant({ name: "lost", plan: "pro" });
  neighbour = await platform().createTenant({ name: "neighbour", plan: "pro" });
  await platform().settled();
  agentHome = join(platform().home, "state", "agents", "agent-1");
});

/** What a catalogue that was restored from before the tenant knows of it: nothing. */
async function forgetTenant(tenantId: string): Promise<string> {
  const catalogue = await openCatalogue(platform());
  const { rows } = await catalogue.query<{ id: string }>(
    "select instance_id as id from tenants where id = $1",
    [tenantId],
  );
  const id = rows[0]?.id ?? "";
  await catalogue.query("begin");
  await catalogue.query("set local session_replication_role = replica");
  for (const table of ["operations", "tenants", "instances"]) {
    const column = table === "instances" ? "id" : table === "tenants" ? "id" : "tenant_id";
    const value = table === "instances" ? id : tenantId;
    await catalogue.query(`delete from ${table} where ${column} = $1`, [value]);
  }
  await catalogue.query("commit");
  await catalogue.end();
  return id;
}

/** Waits until the agent is back after it was killed. */
async function looked(): Promise<void> {
  await until(
    "every host to be looked at",
    async () => {
      const { body } = await platform().request("GET", "/v1/diagnosis");
      return body.hosts_checked === 1;
    },
    30_000,
  );
}

async function findingsAbout(subject: string): Promise<readonly string[]> {
  const findings = await platform().doctor();
  return findings.filter((each) => each.subject === subject).map(({ kind }) => kind);
}

interface Swept {
  readonly results: readonly {
    readonly subject: string;
    readonly removed: boolean;
    readonly reason: string;
  }[];
}

async function sweep(...flags: readonly string[]) {
  const words = ["doctor", "--sweep", "--yes", "--output", "json", ...flags];
  const { code, stdout, stderr } = await platform().cli(words);
  return { code, stderr, results: stdout === "" ? [] : (JSON.parse(stdout) as Swept).results };
}

function trash(): readonly string[] {
  const directory = join(agentHome, "trash");
  return existsSync(directory) ? readdirSync(directory) : [];
}

test("what the catalogue forgot is kept until it is named, then set aside, then deleted", async () => {
  const client = await platform().connect(lost.connection.uri);
  await client.query("create table rows as select 1 as n");
  await client.end();
  const id = await forgetTenant(lost.tenant_id);
  expect(await findingsAbout(id)).toEqual(["FORGOTTEN_INSTANCE"]);
  const server = platform().pieces().instances.get(id);
  expect(server).toBeGreaterThan(0);

  expect((await sweep()).results.filter(({ subject }) => subject === id)).toEqual([]);
  expect(platform().pieces().instances.get(id)).toBe(server);

  const swept = await sweep("--forgotten");
  expect(swept).toMatchObject({ code: 0, results: [{ subject: id, removed: true }] });
  expect(await findingsAbout(id)).toEqual([]);
  expect(platform().pieces().instances.has(id)).toBe(false);
  expect(existsSync(join(agentHome, "instances", id))).toBe(false);
  expect(trash()).toEqual([expect.stringMatching(new RegExp(`Z-${id}$`))]);
  expect(existsSync(join(agentHome, "trash", trash()[0] ?? "", "data", "PG_VERSION"))).toBe(true);

  // An agent that starts anew does not bring it back.
  platform().kill("agents");
  await looked();
  expect(await findingsAbout(id)).toEqual([]);
  expect(platform().pieces().instances.has(id)).toBe(false);

  expect(await sweep("--purge")).toMatchObject({ code: 0, results: [{ removed: true }] });
  expect(trash()).toEqual([]);
});

test("what is not the agent's own is left alone, and named", async () => {
  const foreign = join(agentHome, "instances", NOBODYS);
  mkdirSync(join(foreign, "data"), { recursive: true });
  const notes = join(agentHome, "notes.txt");
  writeFileSync(notes, "whose is this?");
  const words = ["doctor", "--sweep", "--yes", "--forgotten", "--purge"];
  const { code, stdout } = await platform().cli(words);
  expect(code).toBe(0);
  expect(stdout).toContain(`${NOBODYS} that its agent has not made`);
  expect(stdout).toContain(`${notes} is not the agent's`);
  expect(stdout).toContain("There is nothing to sweep.");
  expect(await findingsAbout(NOBODYS)).toEqual(["FOREIGN_DIRECTORY"]);
  expect(await findingsAbout(notes)).toEqual(["FOREIGN_PATH"]);
  // Who orders it all the same is refused by the agent itself.
  const findings = (await platform().doctor())
    .filter(({ kind }) => kind.startsWith("FOREIGN_"))
    .map(({ kind, host_id, subject }) => ({
      kind: kind.replace("FOREIGN", "ORPHAN"),
      host_id,
      subject,
    }));
  const { body } = await platform().request("POST", "/v1/diagnosis:sweep", { findings });
  expect(body.results).toHaveLength(2);
  for (const each of body.results) {
    expect(each).toMatchObject({ reason: expect.stringContaining("does not carry the mark") });
    expect(each.removed ?? false).toBe(false);
  }
  expect(existsSync(foreign) && existsSync(notes)).toBe(true);
});

test("nobody is swept without being asked, and neighbours notice nothing", async () => {
  copyFileSync(join(agentHome, "mark"), join(agentHome, "instances", NOBODYS, "mark"));
  expect(await findingsAbout(NOBODYS)).toEqual(["ORPHAN_DIRECTORY"]);
  const asked = await platform().cli(["doctor", "--sweep"]);
  expect(asked.code).not.toBe(0);
  expect(asked.stderr).toContain("confirm with --yes");
  const client = await platform().connect(neighbour.connection.uri);
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
});

test("a dedicated tenant reads its own server's log, and goes on where it was", async () => {
  const shown = await platform().cli(["logs", "neighbour", "--lines", "2"]);
  expect(shown).toMatchObject({ code: 0, stderr: "" });
  expect(shown.stdout.trimEnd().split("\n")).toHaveLength(2);
  expect(shown.stdout).toContain("database system is ready to accept connections");
  const { status, body } = await platform().request("GET", "/v1/tenants/neighbour/logs");
  expect([status, body.text.includes("is ready to accept")]).toEqual([200, true]);

  const client = await platform().connect(neighbour.connection.uri);
  client.on("error", () => undefined);
  await client.query("select pg_terminate_backend(pg_backend_pid())").catch(() => undefined);
  const path = `/v1/tenants/neighbour/logs?cursor=${body.cursor}&max_bytes=65536`;
  const text = await until("the log to go on", async () => {
    return (await platform().request("GET", path)).body.text || undefined;
  });
  expect(text).toContain("terminating connection due to administrator command");
  expect(text).not.toContain("is ready to accept");
});
