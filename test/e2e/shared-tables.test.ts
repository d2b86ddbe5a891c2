/** Tables that all tenants of shared instances share, from the command line to the rows. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TenantId } from "@aerodb/model";
import { connectPool, pooledRequest, poolPassword } from "@aerodb/postgres";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openCatalogue } from "../fault/catalogue.ts";
import { openInstanceOf } from "../inside-instances.ts";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

const NOTES = `
create table notes (
  tenant_id text, id bigint generated always as identity, title text,
  primary key (tenant_id, id)
);
create table parts (
  tenant_id text, note bigint, part int,
  primary key (tenant_id, note, part),
  foreign key (tenant_id, note) references notes (tenant_id, id)
);
`;
const [USAGE, REFUSED] = [2, 4];

const platform = usePlatform();
const directory = mkdtempSync(join(tmpdir(), "aerodb-shared-"));
let one: Tenant;
let other: Tenant;
beforeAll(() => writeFileSync(join(directory, "notes.sql"), NOTES));
afterAll(() => rmSync(directory, { recursive: true }));

function apply(name: string, text?: string, ...words: string[]) {
  const file = join(directory, name);
  if (text !== undefined) writeFileSync(file, text);
  return platform().cli(["shared-tables", "apply", file, ...words]);
}

async function listed() {
  return JSON.parse((await platform().cli(["shared-tables", "list", "--output", "json"])).stdout);
}

async function titlesOf(tenant: Tenant): Promise<readonly string[]> {
  const rows = await queryOnce(tenant.connection.uri, "select title from shared.notes order by id");
  return rows.map(({ title }) => title);
}

test("without a shared instance an operator is told what to do first", async () => {
  const ended = await apply("notes.sql");
  expect([ended.code, ended.stdout]).toEqual([REFUSED, ""]);
  expect(ended.stderr).toContain("create a tenant");
});

test("a file that is wrong is refused with its line, and leaves nothing", async () => {
  one = await platform().createTenant({ name: "one-co" });
  other = await platform().createTenant({ name: "other-co" });
  const wrong = await apply("wrong.sql", `${NOTES}\nselect 1 from nowhere;`);
  expect([wrong.code, wrong.stdout]).toEqual([USAGE, ""]);
  expect(wrong.stderr).toMatch(/Line 12: .*"nowhere".*42P01/);
  const broken = await apply("broken.sql", "create table loose (id int primary key);");
  expect(broken.code).toBe(USAGE);
  expect(broken.stderr).toContain("table shared.loose");
  const out = await apply("out.sql", "reset role; create role stranger superuser;");
  expect(out.stderr).toContain("within security-definer function");
  expect((await apply("missing.sql")).code).toBe(USAGE);
  expect(await listed()).toEqual([]);
  const { root } = await openInstanceOf(platform(), one);
  const { rows } = await root.query("select to_regnamespace('shared') as left");
  expect(rows).toEqual([{ left: null }]);
});

test("a file is applied once, and what was applied is not edited", async () => {
  const applied = await apply("notes.sql");
  expect([applied.code, applied.stderr]).toEqual([0, ""]);
  expect(applied.stdout).toMatch(/applied in +1\/1/);
  const again = await apply("notes.sql", NOTES, "--output", "json");
  expect(JSON.parse(again.stdout)).toMatchObject({
    repeated: true,
    change: { number: 1, name: "notes.sql", instances: 1, instances_applied: 1 },
  });
  const edited = await apply("notes.sql", `${NOTES}-- more`);
  expect(edited.code).toBe(REFUSED);
  expect(edited.stderr).toContain("another name");
  expect(await listed()).toHaveLength(1);
});

test("each tenant writes and sees its own rows, whatever it says who it is", async () => {
  for (const tenant of [one, other]) {
    const title = `of ${tenant.name}`;
    await queryOnce(tenant.connection.uri, `insert into shared.notes (title) values ('${title}')`);
    await queryOnce(
      tenant.connection.uri,
      "insert into shared.parts (note, part) select id, 1 from shared.notes",
    );
    expect(await titlesOf(tenant)).toEqual([title]);
  }
  const client = await platform().connect(one.connection.uri);
  await client.query(`set app.tenant_id = '${other.tenant_id}'`);
  expect((await client.query("select from shared.notes")).rowCount).toBe(0);
  expect((await client.query("delete from shared.notes")).rowCount).toBe(0);
  const foreign = `insert into shared.notes (tenant_id, title) values ('${other.tenant_id}', 'x')`;
  await expect(client.query(foreign)).rejects.toMatchObject({ code: "42501" });
});

test("the pooled path shows the same", async () => {
  const { socketDirectory } = await openInstanceOf(platform(), one);
  const agents = join(platform().home, "state", "agents");
  const [agent = ""] = readdirSync(agents);
  const root = readFileSync(join(agents, agent, "root-password"), "utf8").trim();
  const pool = await connectPool({ socketDirectory, password: poolPassword(root) });
  onTestFinished(() => pool.end());
  for (const tenant of [one, other]) {
    const request = { text: "select title from shared.notes", values: [] };
    const rows = await pooledRequest(pool, tenant.tenant_id as TenantId, request);
    expect(rows).toEqual([{ title: `of ${tenant.name}` }]);
  }
});

test("an instance that is made later has all before its first tenant", async () => {
  const added = await apply("more.sql", "alter table notes add column more text default 'more';");
  expect(added.code, added.stderr).toBe(0);
  const catalogue = await openCatalogue(platform());
  onTestFinished(() => catalogue.end());
  await catalogue.query("update instances set max_tenants = tenant_count where shared");
  const late = await platform().createTenant({ name: "late-co" });
  await queryOnce(late.connection.uri, "insert into shared.notes (title) values ('late')");
  const rows = await queryOnce(late.connection.uri, "select title, more from shared.notes");
  expect(rows).toEqual([{ title: "late", more: "more" }]);
  await until("both changes to be known of both instances", async () => {
    const everywhere = { instances: 2, instances_applied: 2 };
    expect(await listed()).toMatchObject([everywhere, everywhere]);
    return true;
  });
});

test("a tenant with a server of its own has none", async () => {
  const own = await platform().createTenant({ name: "own-co", plan: "pro" });
  const asked = queryOnce(own.connection.uri, "select from shared.notes");
  await expect(asked).rejects.toMatchObject({ code: "42P01" });
});

test("what falls of their walls is put back, and what cannot be is not served", async () => {
  const { root } = await openInstanceOf(platform(), one);
  const prove = () => platform().request("POST", "/v1/tenants/one-co/isolation:prove");
  await root.query("alter table shared.notes no force row level security");
  await root.query("grant truncate on shared.notes to aerodb_tenants");
  expect((await prove()).body.proven).toBe(true);
  await root.query("create unique index planted on shared.notes (title)");
  const { body } = await prove();
  const broken = body.rules.filter((rule: { checked: number; held: number }) => {
    return rule.checked !== rule.held;
  });
  expect(broken).toMatchObject([{ id: "shared_tables.keys" }]);
  await root.query("drop index shared.planted");
  expect((await prove()).body.proven).toBe(true);
});

test("a tenant that is deleted leaves no row behind", async () => {
  const { root } = await openInstanceOf(platform(), other);
  await platform().request("DELETE", "/v1/tenants/one-co");
  const left = await root.query(
    `select tenant_id from shared.notes union all select tenant_id from shared.parts`,
  );
  expect(left.rows).toEqual([{ tenant_id: other.tenant_id }, { tenant_id: other.tenant_id }]);
});
