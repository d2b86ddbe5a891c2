import { connect } from "node:net";
import { Fault, type QuotaResource, quotaRefusal } from "@aerodb/model";
import { EventService } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import { HostService } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { PlanService } from "@aerodb/rpc/aerodb/control/v1/plan_service_pb.js";
import { PlatformService } from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { monotonicMs, silent } from "@aerodb/runtime";
import { faultsToCodes, faultToConnectError } from "@aerodb/wire";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { controlOver } from "./control.ts";
import { listenForRest, type RestServer } from "./server.ts";

const TENANT_ID = "ten_01jc7w4x9dep8t3w8rj0sxv5n2";
const CREATED_AT = new Date("2024-08-15T12:00:00Z");

/** What control was last asked. */
let asked: { request: unknown; headers: Headers; signal: AbortSignal } | undefined;
let answer: () => unknown = () => ({});
let ready = true;
let ownReasons: string[] = [];
let ownMissing: string[] = [];
/** What control waits for before it says whether it is ready. */
let hangs: Promise<void> = Promise.resolve();
let server: RestServer;
let url: string;

function record(request: unknown, context: { requestHeader: Headers; signal: AbortSignal }) {
  asked = { request, headers: context.requestHeader, signal: context.signal };
  return answer() as Record<string, never>;
}

beforeEach(async () => {
  asked = undefined;
  ready = true;
  ownReasons = [];
  ownMissing = [];
  hangs = Promise.resolve();
  answer = () => ({
    tenant: { tenantId: TENANT_ID, name: "acme", createdAt: timestampFromDate(CREATED_AT) },
  });
  const transport = createRouterTransport(
    ({ service }) => {
      service(TenantService, {
        createTenant: record,
        getTenant: record,
        listTenants: record,
        updateTenant: record,
        rotateCredentials: record,
        deleteTenant: record,
      });
      service(HostService, { createJoinToken: record, listHosts: record });
      service(PlanService, { listPlans: record });
      service(EventService, { listEvents: record });
      service(PlatformService, {
        async checkReadiness() {
          await hangs;
          return { ready, reasons: ready ? [] : ["No host is connected."] };
        },
      });
    },
    { router: { interceptors: [faultsToCodes] } },
  );
  server = await listenForRest({
    port: 0,
    address: "127.0.0.1",
    control: controlOver(transport),
    ownReasonsNotReady: () => ownReasons,
    ownReasonsDegraded: () => ownMissing,
    logger: silent,
  });
  url = `http://127.0.0.1:${server.port}`;
});

afterEach(() => server.close());

async function call(
  verb: string,
  path: string,
  options: { readonly body?: string; readonly headers?: Record<string, string> } = {},
) {
  const headers = { "content-type": "application/json", ...options.headers };
  const body = options.body === undefined ? {} : { body: options.body };
  const response = await fetch(url + path, { method: verb, headers, ...body });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: JSON.parse(text) as Record<string, unknown>,
  };
}

test("a creation is 201 with the tenant itself, its location and RFC 3339 times", async () => {
  const response = await call("POST", "/v1/tenants", { body: '{"name":"acme","plan":"pro"}' });
  expect(response.status).toBe(201);
  expect(response.headers.get("location")).toBe(`/v1/tenants/${TENANT_ID}`);
  expect(response.body).toMatchObject({
    tenant_id: TENANT_ID,
    name: "acme",
    created_at: "2024-08-15T12:00:00Z",
    status: "",
  });
  expect(asked?.request).toMatchObject({ name: "acme", plan: "pro" });
});

test("the body is read as JSON when curl -d says it is a form", async () => {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const { status } = await call("POST", "/v1/tenants", { body: '{"name":"acme"}', headers });
  expect(status).toBe(201);
});

test("the body is read as JSON when nothing is said about it", async () => {
  const body = new Blob(['{"name":"acme"}']);
  const response = await fetch(`${url}/v1/tenants`, { method: "POST", body });
  expect(response.status).toBe(201);
});

test("a multipart body is 415", async () => {
  const headers = { "content-type": "multipart/form-data; boundary=x" };
  const { status, body } = await call("POST", "/v1/tenants", { body: "--x", headers });
  expect([status, body["code"]]).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
});

test("key, request id and idempotency key reach control; nothing else does", async () => {
  const headers = {
    authorization: "Bearer adb_platform_x",
    "x-request-id": "mine-1",
    "idempotency-key": "once",
    cookie: "a=b",
  };
  const response = await call("POST", "/v1/tenants", { body: '{"name":"acme"}', headers });
  expect(response.headers.get("x-request-id")).toBe("mine-1");
  expect(asked?.headers.get("authorization")).toBe("Bearer adb_platform_x");
  expect(asked?.headers.get("x-request-id")).toBe("mine-1");
  expect(asked?.headers.get("cookie")).toBeNull();
  expect(asked?.request).toMatchObject({ requestId: "once" });
});

test("path variables, custom verbs, PATCH and DELETE find their methods", async () => {
  await call("GET", "/v1/tenants/acme%2Dcorp");
  expect(asked?.request).toMatchObject({ tenant: "acme-corp" });
  await call("POST", "/v1/tenants/acme/credentials:rotate", { body: "" });
  expect(asked?.request).toMatchObject({
    $typeName: "aerodb.control.v1.RotateCredentialsRequest",
    tenant: "acme",
  });
  await call("PATCH", "/v1/tenants/acme", { body: '{"labels":{"a":"b"}}' });
  expect(asked?.request).toMatchObject({ tenant: "acme", labels: { a: "b" } });
  expect(asked?.request).not.toHaveProperty("plan");
  const { status } = await call("DELETE", "/v1/tenants/acme");
  expect(status).toBe(200);
  expect(asked?.request).toMatchObject({ $typeName: "aerodb.control.v1.DeleteTenantRequest" });
});

test("query parameters are read by their field's type", async () => {
  answer = () => ({ tenants: [], nextPageToken: "more" });
  const { body } = await call("GET", "/v1/tenants?page_size=10&name_prefix=a%20b&plan=pro");
  expect(asked?.request).toMatchObject({ pageSize: 10, namePrefix: "a b", plan: "pro" });
  expect(body).toEqual({ tenants: [], next_page_token: "more" });
  answer = () => ({ events: [], nextPageToken: "" });
  await call("GET", "/v1/events?since=2026-11-30T12:00:00Z&until=2026-11-30T13:30:00%2B01:00");
  const [since, until] = [1_796_040_000n, 1_796_041_800n];
  expect(asked?.request).toMatchObject({ since: { seconds: since }, until: { seconds: until } });
});

test("quotas that are left out are left out, and 64-bit numbers are exact", async () => {
  answer = () => ({ plans: [{ name: "free", quotas: { storageBytes: 524_288_000n } }] });
  const { body } = await call("GET", "/v1/plans");
  expect(body["plans"]).toMatchObject([{ quotas: { storage_bytes: "524288000" } }]);
  expect(JSON.stringify(body)).not.toContain("null");
});

const QUOTAS = "/v1/tenants/acme/quotas";
const quotas = (text: string) =>
  `{"overrides":[{"resource":"storage_bytes","quota":"1"},{"resource":"a","quota":${text}}]}`;

test.each([
  ["POST", "/v1/tenants", '{"nam":"acme"}', { field: "nam" }, /no field "nam"/],
  ["POST", "/v1/tenants", '{"name":5}', { field: "name" }, /name must be a string, not 5/],
  ["POST", "/v1/tenants", '{"labels":[]}', { field: "labels" }, /labels must be an object/],
  [
    "POST",
    "/v1/tenants",
    '{"labels":{"a":1}}',
    { field: 'labels["a"]' },
    /\] must be a string, not 1/,
  ],
  ["PUT", QUOTAS, '{"overrides":{}}', { field: "overrides" }, /overrides must be a list, not/],
  ["PUT", QUOTAS, '{"overrides":[5]}', { field: "overrides[0]" }, /\] must be an object, not 5/],
  ["PUT", QUOTAS, quotas('"ten"'), { field: "overrides[1].quota" }, /must be a whole number, not/],
  [
    "PUT",
    QUOTAS,
    quotas("1e30"),
    { field: "overrides[1].quota" },
    /not too large for 64 bits, not/,
  ],
  ["PUT", QUOTAS, '{"overrides":[{"most":1}]}', { field: "overrides[0].most" }, /Known are: res/],
  [
    "PUT",
    QUOTAS,
    '{"grace":{"seconds":"x"}}',
    { field: "grace.seconds" },
    /must be a whole number/,
  ],
  ["POST", "/v1/tenants", '{"name" "acme"}', { line: 1, column: 9 }, /line 1, column 9/],
  ["POST", "/v1/tenants", "[]", {}, /must be a JSON object/],
  ["POST", "/v1/tenants?plan=pro", "{}", { field: "plan" }, /no query parameter "plan"/],
  ["GET", "/v1/tenants?page_size=ten", undefined, { field: "page_size" }, /whole number/],
  ["GET", "/v1/tenants?page_size=-1", undefined, { field: "page_size" }, /from 0 up/],
  ["GET", "/v1/tenants?plan=a&plan=b", undefined, { field: "plan" }, /given twice/],
  ["GET", "/v1/events?since=yesterday", undefined, { field: "since" }, /must be a time like 2026/],
  ["GET", "/v1/events?since=2026-02-30T00:00:00Z", undefined, {}, /must be a time like 2026/],
  ["GET", "/v1/events?until=2026-11-30T12:00:00+01:00", undefined, {}, /is written %2B in a query/],
  ["GET", "/v1/tenants?colour=red", undefined, { field: "colour" }, /no query parameter "colour"/],
  ["PATCH", "/v1/tenants/acme", '{"tenant":"other"}', { field: "tenant" }, /path says "acme"/],
  ["DELETE", "/v1/tenants/acme", '{"force":true}', {}, /takes no body/],
  ["GET", "/v1/tenants/%zz", undefined, {}, /cannot be read|broken escape/],
])("%s %s with %s is 400 and says what is wrong", async (verb, path, body, details, sentence) => {
  const response = await call(verb, path, body === undefined ? {} : { body });
  expect(response.status).toBe(400);
  expect(response.headers.get("content-type")).toContain("application/problem+json");
  expect(response.body).toMatchObject({
    type: "urn:aerodb:fault:invalid-argument",
    code: "INVALID_ARGUMENT",
    details,
  });
  expect(response.body["error"]).toMatch(sentence);
  expect(response.body["detail"]).toBe(response.body["error"]);
  expect(asked).toBeUndefined();
});

test("a body over 1 MiB is 413", async () => {
  const body = JSON.stringify({ name: "a".repeat(1024 * 1024) });
  const response = await call("POST", "/v1/tenants", { body });
  expect([response.status, response.body["code"]]).toEqual([413, "BODY_TOO_LARGE"]);
});

test("a HEAD is answered as a GET is, without the body", async () => {
  for (const [path, status] of [
    ["/v1/tenants/acme", 200],
    ["/v1/nothing", 404],
    ["/livez", 200],
  ] as const) {
    const [head, get] = await Promise.all(
      ["HEAD", "GET"].map((method) => fetch(url + path, { method })),
    );
    expect([head?.status, await head?.text()]).toEqual([status, ""]);
    for (const name of ["content-type", "content-length", "cache-control"]) {
      expect(head?.headers.get(name)).toBe(get?.headers.get(name));
    }
    await get?.text();
  }
  expect(
    (await fetch(`${url}/v1/tenants/acme/credentials:rotate`, { method: "HEAD" })).status,
  ).toBe(405);
});

test("an unknown path is 404 and a wrong method 405 with what is allowed", async () => {
  expect((await call("GET", "/v1/nothing")).body).toMatchObject({ status: 404, code: "NOT_FOUND" });
  expect((await call("GET", "/")).status).toBe(404);
  const wrong = await call("PUT", "/v1/tenants/acme", { body: "{}" });
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "DELETE, GET, HEAD, PATCH"]);
});

test.each([
  ["TENANT_NAME_EXISTS", 409, {}],
  ["TENANT_NOT_FOUND", 404, {}],
  ["PLAN_NOT_FOUND", 400, {}],
  ["INVALID_TENANT_NAME", 400, {}],
  ["PERMISSION_DENIED", 403, {}],
  ["UNAUTHENTICATED", 401, { "www-authenticate": 'Bearer realm="aerodb"' }],
  ["NO_FEASIBLE_HOST", 503, { "retry-after": "30" }],
  ["OPERATION_TIMED_OUT", 504, { "retry-after": "2" }],
  ["TENANT_NOT_ACTIVE", 409, {}],
] as const)("%s is %i with its sentence and details", async (code, status, headers) => {
  answer = () => {
    throw new Fault(code, "The sentence.", { details: { hosts: [{ reason: "full" }] } });
  };
  const response = await call("POST", "/v1/tenants", { body: "{}" });
  expect(response.status).toBe(status);
  expect(response.body).toMatchObject({
    status,
    code,
    error: "The sentence.",
    details: { hosts: [{ reason: "full" }] },
  });
  for (const [name, value] of Object.entries(headers)) {
    expect(response.headers.get(name)).toBe(value);
  }
});

test("a quota that is used up is 429, with when waiting helps where it does", async () => {
  const at = new Date("2026-12-31T23:59:59Z");
  const tried = async (resource: QuotaResource) => {
    answer = () => Promise.reject(quotaRefusal({ resource, used: 10n, quota: 10n, at }));
    const { status, headers } = await call("POST", "/v1/tenants", { body: "{}" });
    return [status, headers.get("retry-after")];
  };
  expect(await tried("api_requests_per_month")).toEqual([429, "1"]);
  expect(await tried("file_storage_bytes")).toEqual([429, null]);
});

test("a control that cannot be reached is 503 with a sentence", async () => {
  answer = () => {
    throw new ConnectError("connect ECONNREFUSED 127.0.0.1:9090", Code.Unavailable);
  };
  const { status, body } = await call("GET", "/v1/tenants");
  expect([status, body["code"]]).toEqual([503, "UNAVAILABLE"]);
  expect(body["error"]).toContain("control server does not answer");
  expect(JSON.stringify(body)).not.toContain("ECONNREFUSED");
});

test("a bug of control is 500 without its text", async () => {
  answer = () => {
    throw new Error("secret text");
  };
  const { status, body } = await call("GET", "/v1/tenants");
  expect(status).toBe(500);
  expect(JSON.stringify(body)).not.toContain("secret text");
});

test("a caller that goes away ends its wait at control", async () => {
  const { promise: left, resolve } = Promise.withResolvers<void>();
  answer = () => new Promise(() => asked?.signal.addEventListener("abort", () => resolve()));
  const departure = new AbortController();
  const gone = fetch(`${url}/v1/tenants`, { signal: departure.signal });
  await expect.poll(() => asked).toBeDefined();
  departure.abort();
  await expect(gone).rejects.toThrow();
  await left;
});

test("Connect's own JSON works on the same port, with errors as control said them", async () => {
  const path = "/aerodb.control.v1.TenantService/CreateTenant";
  const created = await call("POST", path, { body: '{"name":"acme"}' });
  expect(created.body).toMatchObject({ tenant: { tenant_id: TENANT_ID } });
  answer = () => {
    throw faultToConnectError(new Fault("TENANT_NAME_EXISTS", "Taken."));
  };
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
  const error = await createClient(TenantService, transport)
    .createTenant({ name: "acme" })
    .catch((thrown: unknown) => ConnectError.from(thrown));
  expect(error).toMatchObject({ code: Code.AlreadyExists, rawMessage: "Taken." });
  expect(error).toHaveProperty("details.length", 1);
});

test("it is ready while it serves, and says what is missing", async () => {
  const asked = async () => {
    const { status, body } = await call("GET", "/readyz");
    return { status, ...body };
  };
  const well = { status: 200, ready: true, degraded: false, reasons: [] };
  expect(await asked()).toEqual(well);
  ready = false;
  const degraded = { ...well, degraded: true };
  expect(await asked()).toEqual({ ...degraded, reasons: ["No host is connected."] });
  ready = true;
  ownMissing = ["Control is silent."];
  expect(await asked()).toEqual({ ...degraded, reasons: ["Control is silent."] });
  ownReasons = ["No routes."];
  const reasons = ["No routes.", "Control is silent."];
  expect(await asked()).toEqual({ status: 503, ready: false, degraded: true, reasons });
  expect((await call("GET", "/livez")).status).toBe(200);
});

test("a control that hangs keeps nobody waiting who asks whether it is ready", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  hangs = promise;
  const startedMs = monotonicMs();
  const { status, body } = await call("GET", "/readyz");
  expect(monotonicMs() - startedMs).toBeLessThan(1_000);
  expect({ status, ...body }).toMatchObject({ status: 200, ready: true, degraded: true });
  expect(String(body["reasons"])).toContain("control to say whether it is ready");
  resolve();
});

test.each([
  ["GARBAGE\r\n\r\n", "400", "INVALID_ARGUMENT"],
  [`GET / HTTP/1.1\r\nhost: x\r\nbig: ${"x".repeat(20_000)}\r\n\r\n`, "431", "HEADERS_TOO_LARGE"],
])("what is not HTTP, or too large a head, is a problem as well", async (text, status, code) => {
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  socket.write(text);
  let answered = "";
  for await (const chunk of socket) answered += String(chunk);
  expect(answered).toContain(`HTTP/1.1 ${status} `);
  expect(answered).toContain("application/problem+json");
  expect(answered).toContain(`"code":"${code}"`);
});

test("every answer forbids to be sniffed, framed or cached", async () => {
  const { headers } = await call("GET", "/v1/nothing");
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("cache-control")).toBe("no-store");
  expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
});
