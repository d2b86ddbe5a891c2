/**
 * The proof of isolation on a running platform: what breaks it, who hears of it, and the way back.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

const platform = usePlatform({ environment: { AERODB_AGENT_CHECK_SECONDS: "1" } });
let tenant: Tenant;
let neighbour: Tenant;

beforeAll(async () => {
  tenant = await platform().createTenant({ name: "guarded-co" });
  neighbour = await platform().createTenant({ name: "other-co" });
  await queryOnce(tenant.connection.uri, "create table kept (id int primary key)");
  await queryOnce(tenant.connection.uri, "create function called() returns int return 1");
});

function authority(): string {
  return join(platform().home, "control", "ca", "ca.crt");
}

/** A session of the superuser of the shared instance, which no wall binds. */
async function superuser(): Promise<pg.Client> {
  const agent = join(platform().home, "state", "agents", "agent-1");
  const names = readdirSync(agent, { recursive: true, encoding: "utf8" });
  const socket = names.find((name) => name.endsWith(".s.PGSQL.5432")) ?? "";
  const client = new pg.Client({
    host: join(agent, dirname(socket)),
    user: "aerodb_root",
    database: "aerodb",
    password: readFileSync(join(agent, "root-password"), "utf8").trim(),
  });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

async function ask(method: string, path: string, of = tenant) {
  return platform().request(method, `/v1/tenants/${of.name}${path}`);
}

/** What control says of walls that were mended, with each event of it. */
function healings(): readonly string[] {
  const directory = join(platform().home, "logs");
  return readdirSync(directory)
    .flatMap((name) => readFileSync(join(directory, name), "utf8").split("\n"))
    .filter((line) => line.includes("walls of a tenant were mended"));
}

function brokenIn(report: { readonly rules: readonly Rule[] }): readonly string[] {
  return report.rules.filter(({ checked, held }) => checked !== held).map(({ id }) => id);
}

interface Rule {
  readonly id: string;
  readonly checked: number;
  readonly held: number;
}

test("a tenant is proven by the time it is made, and the report is signed", async () => {
  const report = await until("a report", async () => {
    const { status, body } = await ask("GET", "/isolation");
    return status === 200 && body;
  });
  expect(report).toMatchObject({ tenant_id: tenant.tenant_id, isolation: "schema", proven: true });
  expect(brokenIn(report)).toEqual([]);

  // As docs/guides/isolation.md has it.
  const directory = mkdtempSync(join(tmpdir(), "aerodb-report-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "report.json"), report.document);
  writeFileSync(join(directory, "report.sig"), Buffer.from(report.signature, "base64"));
  const key = ["x509", "-in", authority(), "-noout", "-pubkey"];
  writeFileSync(join(directory, "ca.pub"), execFileSync("openssl", key));
  const verify = ["dgst", "-sha256", "-verify", "ca.pub", "-signature", "report.sig"];
  const said = execFileSync("openssl", [...verify, "report.json"], { cwd: directory });
  expect(String(said)).toBe("Verified OK\n");
});

test("what the tenant made since is proven when asked", async () => {
  const { status, body } = await ask("POST", "/isolation:prove");
  expect(status).toBe(200);
  expect(body.rules).toContainEqual(
    expect.objectContaining({ id: "table.policy", subject: "tables", checked: 1, held: 1 }),
  );
  expect(body.not_hidden.join(" ")).toContain("NOTIFY");
});

test("a broken wall is found, and the tenant is refused until it stands again", async () => {
  const root = await superuser();
  await root.query(`alter function "${tenant.tenant_id}".called() security definer`);
  await until("the tenant to be quarantined", async () => (await ask("GET", "")).body.quarantined);
  const { body: report } = await ask("GET", "/isolation");
  expect([report.proven, brokenIn(report)]).toEqual([false, ["routine.definer"]]);
  expect((await ask("GET", "")).body.status_reason).toContain("routine.definer (function ");
  const refused = queryOnce(tenant.connection.uri, "select");
  await expect(refused).rejects.toThrow("could not be proven: routine.definer; the operator");
  expect((await platform().cli(["tenants", "list"])).stdout).toMatch(/guarded-co .* quarantined /);
  expect((await platform().cli(["status"])).stdout).toContain("1 in quarantine");
  expect((await platform().cli(["doctor"])).stdout).toContain("QUARANTINED_TENANT");
  expect((await queryOnce(neighbour.connection.uri, "select 1 as a"))[0]).toEqual({ a: 1 });
  expect((await platform().cli(["verify", "isolation", "--all"])).code).toBe(1);

  // Service is given back at once, and what is true is said of it.
  const suspended = await platform().request("POST", `/v1/tenants/${tenant.name}:suspend`, {
    reason: "unpaid",
  });
  expect(suspended.body).toMatchObject({ status: "suspended", quarantined: true });
  const back = await ask("POST", ":reinstate");
  expect([back.status, back.body.status, back.body.quarantined]).toEqual([200, "active", true]);
  expect(back.body.status_reason.match(/routine\.definer/g)).toHaveLength(1);

  await root.query(`alter function "${tenant.tenant_id}".called() security invoker`);
  expect((await ask("POST", "/isolation:prove")).body.proven).toBe(true);
  await until("the tenant to be served", () => queryOnce(tenant.connection.uri, "select 1"));
});

test("what can be mended is mended before anybody is refused", async () => {
  const root = await superuser();
  await root.query(
    `alter role "${tenant.tenant_id}" set temp_file_limit = '-1';
     grant pg_read_all_data to "${tenant.tenant_id}"`,
  );
  const { body } = await ask("POST", "/isolation:prove");
  expect([body.proven, brokenIn(body)]).toEqual([true, []]);
  const { rows } = await root.query(
    "select pg_has_role($1, 'pg_read_all_data', 'member') as still",
    [tenant.tenant_id],
  );
  expect(rows).toEqual([{ still: false }]);
});

test.each([
  ["role.settings", 'alter role "SELF" reset app.tenant_id'],
  ["role.connections", 'alter role "SELF" connection limit 77'],
  ["role.attributes", 'alter role "SELF" createdb'],
  ["role.password", "alter role \"SELF\" password 'another one'"],
  ["role.door", 'drop function aerodb."SELF"(text, text, text[])'],
  ["instance.event_triggers", "alter event trigger aerodb_grants disable"],
  ["ownership.inside", 'alter table "SELF".kept owner to "OTHER"'],
  ["privilege.schema", 'grant usage on schema "SELF" to "OTHER"'],
])("what drifts is mended by the next check, and said: %s", async (rule, statement) => {
  const root = await superuser();
  const before = healings().length;
  const done = statement.replaceAll("SELF", tenant.tenant_id);
  await root.query(done.replaceAll("OTHER", neighbour.tenant_id));
  await until("it to be said", () => healings().slice(before).join("").includes(rule));
  expect((await ask("POST", "/isolation:prove")).body.proven).toBe(true);
  expect(await queryOnce(tenant.connection.uri, "select 1 as a")).toEqual([{ a: 1 }]);
});

test("the command line shows counts, and checks the signature", async () => {
  const words = ["verify", "isolation", "guarded-co", "--signature", authority()];
  const shown = await platform().cli(words);
  expect([shown.code, shown.stderr]).toEqual([0, ""]);
  expect(shown.stdout).toMatch(/table\.policy +tables +1\/1/);
  const wrong = await platform().cli([...words.slice(0, -1), join(authority(), "..", "none.crt")]);
  expect(wrong.code).not.toBe(0);
  const all = await platform().cli(["verify", "isolation", "--all", "--output", "json"]);
  expect(JSON.parse(all.stdout)).toHaveLength(2);
});

test("a tenant with a server of its own is proven by the rules of its model", async () => {
  const own = await platform().createTenant({ name: "own-co", plan: "pro" });
  const { body } = await ask("POST", "/isolation:prove", own);
  expect(body).toMatchObject({ isolation: "database", proven: true });
  expect(body.rules.map(({ id }: Rule) => id)).toContain("ownership.cluster");
});
