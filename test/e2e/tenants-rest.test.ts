import { describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { connectionError, queryOnce } from "../platform-client.ts";
import { run } from "../program.ts";

const platform = usePlatform();

describe("creating a tenant", () => {
  test("answers 201 with every documented field, and the connection works at once", async () => {
    const body = { name: "acme-corp", plan: "pro", region: "us-east-1" };
    const answer = await platform().request("POST", "/v1/tenants", body);
    expect(answer.status).toBe(201);
    expect(answer.headers.get("location")).toContain("/v1/tenants/");
    const { connection, ...tenant } = answer.body;
    expect(tenant).toMatchObject({
      ...body,
      isolation: "database",
      status: "active",
      database_url: "https://acme-corp.localhost",
    });
    expect(tenant.tenant_id).toMatch(/^ten_[0-9a-z]{26}$/);
    expect(Math.abs(Date.parse(tenant.created_at) - Date.now())).toBeLessThan(60_000);
    expect(connection).toMatchObject({ database: "acme-corp", port: platform().pgPort });
    expect(connection.password.length).toBeGreaterThanOrEqual(32);
    expect(connection.uri).toContain(connection.password);
    expect(await queryOnce(connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("shows the password this once", async () => {
    const made = await platform().createTenant({ name: "shown-once" });
    const { password } = made.connection;
    for (const path of ["/v1/tenants/shown-once", "/v1/tenants?name_prefix=shown-once"]) {
      const { status, body } = await platform().request("GET", path);
      expect(status).toBe(200);
      expect(JSON.stringify(body)).not.toContain(password);
    }
  });

  test.for([
    ["curl -d alone", []],
    ["a JSON content type", ["-H", "Content-Type: application/json"]],
    ["no content type", ["-H", "Content-Type:"]],
  ] as const)("takes a JSON body from curl with %s", async ([, words], { task }) => {
    const name = `curl-${task.id.replace(/[^0-9]/g, "")}`;
    const url = `${platform().restUrl}/v1/tenants`;
    const key = `Authorization: Bearer ${platform().key}`;
    const data = JSON.stringify({ name, plan: "free", region: "us-east-1" });
    const common = ["-sS", "-X", "POST", url, "-H", key, "-d", data];
    const ended = await run("curl", [...common, ...words, "-w", "\n%{http_code}"]);
    expect(ended.stdout.trimEnd().split("\n").at(-1), ended.stdout).toBe("201");
  });

  test("puts free into a schema of a shared instance and pro into an instance of its own", async () => {
    const before = platform().pieces().instances.size;
    const first = await platform().createTenant({ name: "in-schema-one", plan: "free" });
    const second = await platform().createTenant({ name: "in-schema-two", plan: "free" });
    expect([first.isolation, second.isolation]).toEqual(["schema", "schema"]);
    const shared = platform().pieces().instances.size;
    expect(shared - before).toBeLessThanOrEqual(1);
    const third = await platform().createTenant({ name: "of-its-own", plan: "pro" });
    expect(third.isolation).toBe("database");
    expect(platform().pieces().instances.size).toBe(shared + 1);
  });

  test("lets the isolation be chosen within what the plan allows", async () => {
    const made = await platform().createTenant({
      name: "pro-in-schema",
      plan: "pro",
      isolation: "schema",
    });
    expect(made).toMatchObject({ plan: "pro", isolation: "schema" });
  });

  test("50 at once for one name make one tenant and 49 conflicts", async () => {
    const body = { name: "wanted-by-all", plan: "free" };
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => platform().request("POST", "/v1/tenants", body)),
    );
    expect(answers.filter((each) => each.status === 201)).toHaveLength(1);
    const conflicts = answers.filter((each) => each.status === 409);
    expect(conflicts).toHaveLength(49);
    for (const { body: problem } of conflicts) expect(problem.code).toBe("TENANT_NAME_EXISTS");
  });

  test("repeats with one idempotency key give the same tenant, without its password", async () => {
    const body = { name: "only-once", plan: "free" };
    const headers = { "idempotency-key": "the-same-request" };
    const first = await platform().request("POST", "/v1/tenants", body, headers);
    const again = await platform().request("POST", "/v1/tenants", body, headers);
    expect(first.status).toBe(201);
    expect(again.body.tenant_id).toBe(first.body.tenant_id);
    expect(JSON.stringify(again.body)).not.toContain(first.body.connection.password);
    const other = { ...body, name: "another-one" };
    const reused = await platform().request("POST", "/v1/tenants", other, headers);
    expect(reused.body.code).toBe("REQUEST_ID_REUSED");
  });
});

test("enterprise is refused with what every host said, and nothing is left behind", async () => {
  const before = await platform().tenants();
  const instances = platform().pieces().instances.size;
  const body = { name: "large-corp", plan: "enterprise" };
  const { status, headers, body: problem } = await platform().request("POST", "/v1/tenants", body);
  expect(status).toBe(503);
  expect(headers.get("content-type")).toContain("application/problem+json");
  expect(problem.code).toBe("NO_FEASIBLE_HOST");
  expect(problem.details.hosts).toHaveLength(1);
  for (const host of problem.details.hosts) {
    expect(host.host_id).toMatch(/^hst_/);
    expect(host.reason.length).toBeGreaterThan(10);
  }
  expect(await platform().tenants()).toEqual(before);
  expect(platform().pieces().instances.size).toBe(instances);
  expect((await platform().request("GET", "/v1/tenants/large-corp")).status).toBe(404);
  await platform().createTenant({ name: "large-corp", plan: "free" });
});

describe("listing", () => {
  test("pages through all that match, each once, in a stable order", async () => {
    const names = Array.from({ length: 7 }, (_, at) => `paged-${at}`);
    for (const name of names) await platform().createTenant({ name });
    const seen: string[] = [];
    let token = "";
    for (let page = 0; page < 10; page += 1) {
      const query = `page_size=3&name_prefix=paged-&page_token=${encodeURIComponent(token)}`;
      const { status, body } = await platform().request("GET", `/v1/tenants?${query}`);
      expect(status).toBe(200);
      expect(body.tenants.length).toBeLessThanOrEqual(3);
      seen.push(...body.tenants.map((tenant: { name: string }) => tenant.name));
      token = body.next_page_token;
      if (token === "") break;
    }
    expect(seen).toEqual(names);
  });

  test("filters by plan, isolation, status and the start of the name", async () => {
    await platform().createTenant({ name: "filter-free", plan: "free" });
    await platform().createTenant({ name: "filter-pro", plan: "pro", isolation: "schema" });
    const namesOf = async (query: string) => {
      const path = `/v1/tenants?name_prefix=filter-&${query}`;
      const { body } = await platform().request("GET", path);
      return body.tenants.map((tenant: { name: string }) => tenant.name);
    };
    expect(await namesOf("plan=free")).toEqual(["filter-free"]);
    expect(await namesOf("plan=pro&isolation=schema")).toEqual(["filter-pro"]);
    expect(await namesOf("isolation=database")).toEqual([]);
    expect(await namesOf("status=active")).toEqual(["filter-free", "filter-pro"]);
    expect(await namesOf("status=deleting")).toEqual([]);
  });

  test("refuses a page token that was made for another question", async () => {
    await platform().createTenant({ name: "token-one" });
    await platform().createTenant({ name: "token-two" });
    const first = await platform().request("GET", "/v1/tenants?page_size=1&name_prefix=token-");
    const token = encodeURIComponent(first.body.next_page_token);
    for (const query of [`page_token=${token}&plan=pro`, "page_token=nonsense"]) {
      const { status, body } = await platform().request("GET", `/v1/tenants?${query}`);
      expect({ status, code: body.code }).toEqual({ status: 400, code: "INVALID_PAGE_TOKEN" });
    }
  });
});

describe("changing", () => {
  test("sets, keeps and removes labels", async () => {
    await platform().createTenant({ name: "labelled", labels: { team: "red", cost: "low" } });
    const patch = { labels: { cost: "", tier: "gold" } };
    const { status, body } = await platform().request("PATCH", "/v1/tenants/labelled", patch);
    expect(status).toBe(200);
    expect(body.labels).toEqual({ team: "red", tier: "gold" });
  });

  test("moves to a plan that allows the same isolation, and the tenant works on", async () => {
    const { connection } = await platform().createTenant({ name: "grows", plan: "free" });
    const { status, body } = await platform().request("PATCH", "/v1/tenants/grows", {
      plan: "pro",
    });
    expect({ status, plan: body.plan, isolation: body.isolation }).toEqual({
      status: 200,
      plan: "pro",
      isolation: "schema",
    });
    expect(await queryOnce(connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("refuses a plan that would need another isolation", async () => {
    await platform().createTenant({ name: "shrinks", plan: "pro" });
    const patch = { plan: "free" };
    const { status, body } = await platform().request("PATCH", "/v1/tenants/shrinks", patch);
    expect({ status, code: body.code }).toEqual({ status: 409, code: "PLAN_CHANGE_NEEDS_MOVE" });
  });

  test("rotating replaces the password and leaves open sessions open", async () => {
    const { connection } = await platform().createTenant({ name: "rotates" });
    const session = await platform().connect(connection.uri);
    const path = "/v1/tenants/rotates/credentials:rotate";
    const { status, body } = await platform().request("POST", path);
    expect(status).toBe(200);
    expect(body.connection.password).not.toBe(connection.password);
    expect((await session.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    expect(await queryOnce(body.connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
    expect((await connectionError(connection.uri)).code).toBe("28P01");
  });
});

describe("deleting", () => {
  test.for(["free", "pro"])("a %s tenant removes its all and frees its name", async (plan) => {
    const name = `short-lived-${plan}`;
    const { connection, tenant_id } = await platform().createTenant({ name, plan });
    const session = await platform().connect(connection.uri);
    await session.query("create table data as select generate_series(1, 1000)");
    const before = platform().pieces().instances.size;

    const deleted = await platform().request("DELETE", `/v1/tenants/${tenant_id}`);
    expect(deleted.status).toBe(200);
    expect(deleted.body.status).toBe("deleted");
    await expect(session.query("select 1")).rejects.toThrow();
    expect((await connectionError(connection.uri)).code).toBe("28P01");
    const gone = plan === "pro" ? 1 : 0;
    expect(platform().pieces().instances.size).toBe(before - gone);

    for (const method of ["DELETE", "GET"]) {
      const { status, body } = await platform().request(method, `/v1/tenants/${name}`);
      expect({ status, code: body.code }).toEqual({ status: 404, code: "TENANT_NOT_FOUND" });
    }
    const again = await platform().createTenant({ name, plan });
    expect(again.tenant_id).not.toBe(tenant_id);
    expect((await connectionError(connection.uri)).code).toBe("28P01");
    const tables = "select count(*)::int as n from pg_tables where tablename = 'data'";
    expect(await queryOnce(again.connection.uri, tables)).toEqual([{ n: 0 }]);
  });
});

describe("the rest of the catalogue", () => {
  test("shows the region with its host", async () => {
    const { body } = await platform().request("GET", "/v1/regions");
    expect(body.regions).toEqual([{ name: "us-east-1", hosts: 1, connected_hosts: 1 }]);
  });

  test("shows the three plans, smallest first", async () => {
    const { body } = await platform().request("GET", "/v1/plans");
    const names = body.plans.map((plan: { name: string }) => plan.name);
    expect(names).toEqual(["free", "pro", "enterprise"]);
    expect(body.plans[0]).toMatchObject({ isolations: ["schema"], default_isolation: "schema" });
  });

  test("counts what lives on the host", async () => {
    const tenants = await platform().tenants();
    const { body } = await platform().request("GET", "/v1/hosts");
    expect(body.hosts).toHaveLength(1);
    const [host] = body.hosts;
    expect(host.tenants).toBe(tenants.length);
    expect(host.instances).toBe(platform().pieces().instances.size);
    const one = await platform().request("GET", `/v1/hosts/${host.host_id}`);
    expect(one.body.name).toBe(host.name);
  });
});

test("after all of this the doctor finds nothing", async () => {
  await platform().settled();
  await platform().stop();
});
