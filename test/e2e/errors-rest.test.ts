import { describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { run } from "../program.ts";

const platform = usePlatform();

/** What was asked and what must come back. */
interface Refusal {
  readonly what: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly code: string;
  readonly says?: RegExp;
}

const LARGE = JSON.stringify({ name: "large-body", plan: "free", junk: "x".repeat(1_100_000) });

const REFUSALS: readonly Refusal[] = [
  ...["", "ab", "9lives", "Acme", "acme_corp", "acme--corp", "acme-", "a".repeat(64), "admin"].map(
    (name): Refusal => ({
      what: `the name "${name}"`,
      body: { name, plan: "free" },
      status: 400,
      code: "INVALID_TENANT_NAME",
    }),
  ),
  {
    what: "an unknown isolation",
    body: { name: "some-name", plan: "pro", isolation: "galaxy" },
    status: 400,
    code: "INVALID_ISOLATION_MODEL",
    says: /galaxy/,
  },
  {
    what: "an isolation that the plan does not allow",
    body: { name: "some-name", plan: "free", isolation: "database" },
    status: 400,
    code: "INVALID_ISOLATION_MODEL",
    says: /free/,
  },
  {
    what: "an unknown plan",
    body: { name: "some-name", plan: "platinum" },
    status: 400,
    code: "PLAN_NOT_FOUND",
    says: /platinum/,
  },
  {
    what: "an unknown region",
    body: { name: "some-name", plan: "free", region: "mars-1" },
    status: 400,
    code: "REGION_NOT_FOUND",
    says: /mars-1/,
  },
  {
    what: "malformed JSON, by its position",
    body: '{"name": "some-name",\n "plan": }',
    status: 400,
    code: "INVALID_ARGUMENT",
    says: /line 2|position|column/i,
  },
  {
    what: "a body that is not an object",
    body: '["some-name"]',
    status: 400,
    code: "INVALID_ARGUMENT",
  },
  {
    what: "an unknown field, by its name",
    body: { name: "some-name", plan: "free", colour: "red" },
    status: 400,
    code: "INVALID_ARGUMENT",
    says: /colour/,
  },
  {
    what: "a field of the wrong type, by its name",
    body: { name: 17, plan: "free" },
    status: 400,
    code: "INVALID_ARGUMENT",
    says: /name/,
  },
  { what: "a body over 1 MiB", body: LARGE, status: 413, code: "BODY_TOO_LARGE" },
  {
    what: "a page that is too large",
    method: "GET",
    path: "/v1/tenants?page_size=1001",
    status: 400,
    code: "INVALID_ARGUMENT",
    says: /page_size/,
  },
  ...(
    [
      ["GET", "/v1/tenants/nobody"],
      ["PATCH", "/v1/tenants/nobody"],
      ["DELETE", "/v1/tenants/nobody"],
      ["POST", "/v1/tenants/nobody/credentials:rotate"],
      ["GET", "/v1/tenants/ten_01jc7w4x9dep8t3w8rj0sxv5n2"],
    ] as const
  ).map(
    ([method, path]): Refusal => ({
      what: `${method} ${path}`,
      method,
      path,
      ...(method === "PATCH" ? { body: { plan: "pro" } } : {}),
      status: 404,
      code: "TENANT_NOT_FOUND",
    }),
  ),
  ...["", "Bearer adb_platform_nonsense", "Basic dXNlcjpwYXNz"].map(
    (authorization): Refusal => ({
      what: `the authorization "${authorization}"`,
      method: "GET",
      path: "/v1/tenants",
      headers: { authorization },
      status: 401,
      code: "UNAUTHENTICATED",
    }),
  ),
];

describe("a request that is refused", () => {
  test.for(REFUSALS)("$what: $status $code", async (refusal) => {
    const { method = "POST", path = "/v1/tenants", body, headers } = refusal;
    const answer = await platform().request(method, path, body, headers);
    expect({ status: answer.status, code: answer.body.code }, JSON.stringify(answer.body)).toEqual({
      status: refusal.status,
      code: refusal.code,
    });
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    expect(answer.body).toMatchObject({ status: refusal.status, details: expect.anything() });
    for (const field of ["type", "title", "detail", "error"]) {
      expect(answer.body[field], field).toEqual(expect.stringMatching(/\S/));
    }
    if (refusal.says !== undefined) expect(answer.body.detail).toMatch(refusal.says);
  });

  test("leaves nothing behind", async () => {
    expect(await platform().tenants()).toEqual([]);
    await platform().settled();
  });

  test("is a problem too when nothing is at the path, or not with that method", async () => {
    const nowhere = await platform().request("GET", "/v1/nowhere");
    expect(nowhere.status).toBe(404);
    const wrongMethod = await platform().request("PUT", "/v1/tenants", {});
    expect(wrongMethod.status).toBe(405);
    for (const { headers } of [nowhere, wrongMethod]) {
      expect(headers.get("content-type")).toContain("application/problem+json");
    }
  });

  test("says which content it does take", async () => {
    const url = `${platform().restUrl}/v1/tenants`;
    const key = `Authorization: Bearer ${platform().key}`;
    const form = ["-sS", "-F", "name=form", "-H", key, url, "-w", "\n%{http_code}"];
    const ended = await run("curl", form);
    expect(ended.stdout.split("\n").at(-1)).toBe("415");
  });
});

describe("a key with fewer rights", () => {
  async function keyWith(scope: string) {
    const body = { name: scope, scopes: [scope] };
    const made = await platform().request("POST", "/v1/keys", body);
    expect(made.status).toBe(201);
    return { authorization: `Bearer ${made.body.secret}`, id: made.body.key_id };
  }

  test("may read and not write, until it is revoked", async () => {
    const { authorization, id } = await keyWith("platform:read");
    const body = { name: "not-allowed", plan: "free" };
    const headers = { authorization };
    expect((await platform().request("GET", "/v1/tenants", undefined, headers)).status).toBe(200);
    const refused = await platform().request("POST", "/v1/tenants", body, headers);
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 403,
      code: "PERMISSION_DENIED",
    });
    expect((await platform().request("DELETE", `/v1/keys/${id}`)).status).toBe(200);
    await expect
      .poll(async () => (await platform().request("GET", "/v1/tenants", undefined, headers)).status)
      .toBe(401);
    expect((await platform().request("DELETE", `/v1/keys/${id}`)).status).toBe(404);
  });

  test("of one tenant sees that tenant and no other", async () => {
    const own = await platform().createTenant({ name: "key-owner" });
    const foreign = await platform().createTenant({ name: "key-foreign" });
    const { authorization } = await keyWith(`tenant:${own.tenant_id}`);
    const see = async (name: string) =>
      (await platform().request("GET", `/v1/tenants/${name}`, undefined, { authorization })).status;
    expect(await see(own.tenant_id)).toBe(200);
    expect(await see(foreign.tenant_id)).toBe(404);
    expect(await see("no-such-tenant")).toBe(404);
  });
});
