/** What is chosen for a tenant's own Postgres, through REST and as its application sees it. */
import { beforeAll, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";

const platform = usePlatform();
let tenant: Tenant;

beforeAll(async () => {
  tenant = await platform().createTenant({ name: "tuned-co", plan: "pro" });
});

function ask(method: string, path: string, body?: object) {
  return platform().request(method, `/v1/tenants/tuned-co${path}`, body);
}

async function show(name: string): Promise<unknown> {
  const [row] = await queryOnce(tenant.connection.uri, `show ${name}`);
  return row?.[name];
}

test("a setting is in force when the answer comes, in a session that is open", async () => {
  const client = await platform().connect(tenant.connection.uri);
  const { status, body } = await ask("PATCH", "", { settings: { work_mem: "3MB" } });
  expect(status).toBe(200);
  expect(body).toMatchObject({ settings: { work_mem: "3MB" }, pending_restart: [] });
  expect((await client.query("show work_mem")).rows).toEqual([{ work_mem: "3MB" }]);
  await client.end();
});

test("what waits for a restart is said, and who is still at work then ends with a clean error", async () => {
  const client = await platform().connect(tenant.connection.uri);
  const patched = await ask("PATCH", "", { settings: { shared_buffers: "24MB" } });
  expect(patched.body.pending_restart).toEqual(["shared_buffers"]);
  expect((await client.query("show shared_buffers")).rows).toEqual([{ shared_buffers: "16MB" }]);

  const idle = await platform().connect(tenant.connection.uri);
  const ended = client.query("select pg_sleep(60)").catch(({ code }) => code);
  const restarted = await ask("POST", ":restart");
  expect([restarted.status, restarted.body.pending_restart]).toEqual([200, []]);
  expect(await ended).toBe("57P01");
  expect((await idle.query("show shared_buffers")).rows).toEqual([{ shared_buffers: "24MB" }]);
  await idle.end();
  await client.end().catch(() => undefined);
});

test("with apply, what waits is restarted for, and nothing is where nothing waits", async () => {
  const started = "select pg_postmaster_start_time() as at";
  const [before] = await queryOnce(tenant.connection.uri, started);
  const same = await ask("PATCH", "", { settings: { work_mem: "2MB" }, apply: "restart" });
  expect(same.body.pending_restart).toEqual([]);
  expect(await queryOnce(tenant.connection.uri, started)).toEqual([before]);
  const settings = { max_locks_per_transaction: "128" };
  const applied = await ask("PATCH", "", { settings, apply: "restart" });
  expect(applied.body).toMatchObject({ settings, pending_restart: [] });
  expect(await show("max_locks_per_transaction")).toBe("128");
});

test("an extension is there by its plain name when the answer comes", async () => {
  const { status, body } = await ask("POST", "/extensions", { name: "citext" });
  expect([status, body.extensions]).toEqual([200, ["citext"]]);
  const rows = await queryOnce(tenant.connection.uri, "select 'A'::citext = 'a' as same");
  expect(rows).toEqual([{ same: true }]);
});

test.each([
  ["PATCH", "", { settings: { archive_command: "id" } }],
  ["PATCH", "", { settings: { shared_preload_libraries: "x" } }],
  ["PATCH", "", { settings: { work_mem: "1MB' # " } }],
  ["POST", "/extensions", { name: "dblink" }],
])("%s %s with %j is refused with what is allowed", async (method, path, body) => {
  const answer = await ask(method, path, body);
  expect(answer).toMatchObject({ status: 400, body: { code: "INVALID_ARGUMENT" } });
});
