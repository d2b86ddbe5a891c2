/** The API: other tenants' objects, forged credentials, hostile bodies. */
import { platformFamily, type Stage } from "../platform-case.ts";

type Headers = Readonly<Record<string, string>>;

function ask(
  method: string,
  path: (stage: Stage) => string,
  body?: unknown,
  headers?: (stage: Stage) => Headers,
) {
  return async (stage: Stage): Promise<string> => {
    const given = headers?.(stage) ?? { authorization: `Bearer ${stage.key}` };
    try {
      return String((await stage.platform.request(method, path(stage), body, given)).status);
    } catch (error) {
      // A body that is longer than allowed is not read to its end.
      if (error instanceof TypeError && error.message === "fetch failed") return "cut";
      throw error;
    }
  };
}

/** A call for the victim, with the attacker's key. */
const forVictim = (method: string, what: string, body?: unknown) =>
  ask(method, ({ victim }) => `/v1/tenants/${victim.name}${what}`, body);
const asNobody = (authorization: string | ((stage: Stage) => string)) => ({
  attack: ask(
    "GET",
    () => "/v1/tenants",
    undefined,
    (stage) => ({
      authorization: typeof authorization === "string" ? authorization : authorization(stage),
    }),
  ),
  safe: ["401"],
});

/** A call with the key of the platform that must be refused for what it says. */
const refused = (body: unknown, headers: Headers = {}) => ({
  attack: ask(
    "POST",
    () => "/v1/tenants",
    body,
    ({ platform }) => ({
      authorization: `Bearer ${platform.key}`,
      ...headers,
    }),
  ),
  safe: ["400", "413", "cut"],
});

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const valid = { name: "planted", plan: "free" };

export const CALLS = platformFamily("calls", ["403", "404"], {
  read: forVictim("GET", ""),
  read_by_id: ask("GET", ({ victim }) => `/v1/tenants/${victim.tenant_id}`),
  change: forVictim("PATCH", "", { labels: { mine: "yes" } }),
  delete: forVictim("DELETE", ""),
  rotate: forVictim("POST", "/credentials:rotate", {}),
  suspend: forVictim("POST", ":suspend", { reason: "abuse" }),
  reinstate: forVictim("POST", ":reinstate", {}),
  restart: forVictim("POST", ":restart", {}),
  logs: forVictim("GET", "/logs"),
  metrics: forVictim("GET", "/metrics"),
  isolation: forVictim("GET", "/isolation"),
  prove: forVictim("POST", "/isolation:prove", {}),
  extension: forVictim("POST", "/extensions", { name: "hstore" }),
  encoded_path: ask("GET", ({ attacker, victim }) => {
    return `/v1/tenants/${attacker.name}%2f..%2f${victim.name}`;
  }),
  path_traversal: ask("GET", ({ victim }) => `/v1/tenants/attacker/../${victim.name}`),
  hosts: ask("GET", () => "/v1/hosts"),
  keys: ask("GET", () => "/v1/keys"),
  make_key: ask("POST", () => "/v1/keys", { name: "more", scopes: ["platform"] }),
  join_token: ask("POST", () => "/v1/join-tokens", {}),
  diagnosis: ask("GET", () => "/v1/diagnosis"),
  gateways: ask("GET", () => "/v1/gateways"),
  plans: ask("PATCH", () => "/v1/plans/free", {}),
  own_suspension: ask("POST", ({ attacker }) => `/v1/tenants/${attacker.name}:suspend`, {
    reason: "abuse",
  }),
  list: {
    attack: async (stage) => {
      const { status, body } = await stage.platform.request("GET", "/v1/tenants", undefined, {
        authorization: `Bearer ${stage.key}`,
      });
      const text = JSON.stringify(body);
      if (status !== 200) return String(status);
      return text.includes(stage.victim.tenant_id) ? "shown" : "own";
    },
    safe: ["403", "own"],
  },
  operations: {
    attack: async (stage) => {
      const { status, body } = await stage.platform.request("GET", "/v1/operations", undefined, {
        authorization: `Bearer ${stage.key}`,
      });
      if (status !== 200) return String(status);
      return JSON.stringify(body).includes(stage.victim.tenant_id) ? "shown" : "own";
    },
    safe: ["403", "own"],
  },
  events: {
    attack: ask("GET", () => "/v1/events"),
    safe: ["403"],
  },
  no_key: asNobody(""),
  wrong_key: asNobody("Bearer aero_wrong"),
  half_key: asNobody(({ key }) => `Bearer ${key.slice(0, -1)}`),
  longer_key: asNobody(({ key }) => `Bearer ${key}x`),
  other_case_of_key: asNobody(({ key }) => `Bearer ${key.toUpperCase()}`),
  basic: asNobody(({ key }) => `Basic ${Buffer.from(key).toString("base64")}`),
  unsigned_token: asNobody(
    `Bearer ${base64({ alg: "none" })}.${base64({ sub: "root", scopes: ["platform"] })}.`,
  ),
  injected_key: asNobody("Bearer ' or '1'='1"),
  key_in_query: {
    attack: ask(
      "GET",
      ({ platform }) => `/v1/tenants?key=${platform.key}`,
      undefined,
      () => ({
        authorization: "",
      }),
    ),
    safe: ["400", "401"],
  },
  method_override: {
    attack: ask(
      "POST",
      ({ victim }) => `/v1/tenants/${victim.name}`,
      {},
      ({ key }) => ({
        authorization: `Bearer ${key}`,
        "x-http-method-override": "DELETE",
      }),
    ),
    safe: ["403", "404", "405"],
  },
  mass_assignment: refused({ ...valid, tenant_id: "ten_00000000000000000000000009" }),
  assigned_status: refused({ ...valid, status: "active" }),
  prototype: refused(`{"name":"planted","plan":"free","__proto__":{"admin":true}}`),
  script_in_name: refused({ ...valid, name: "<script>alert(1)</script>" }),
  injected_name: refused({ ...valid, name: "x'; drop table tenants; --" }),
  homoglyph_name: refused({ ...valid, name: "v\u0456ctim" }),
  path_in_name: refused({ ...valid, name: "../../etc" }),
  long_name: refused({ ...valid, name: "a".repeat(64) }),
  null_in_name: refused({ ...valid, name: "a\u0000b" }),
  unknown_isolation: refused({ ...valid, isolation: "none" }),
  number_too_large: refused(`{"name":"planted","plan":"free","labels":{"a":1e999}}`),
  broken_body: refused('{"name":'),
  deep_body: refused("[".repeat(50_000)),
  large_body: refused({ ...valid, labels: { a: "x".repeat(5_000_000) } }),
  page_token: {
    attack: ask(
      "GET",
      () => `/v1/tenants?page_token=${base64({ after: "x" })}`,
      undefined,
      (stage) => ({
        authorization: `Bearer ${stage.platform.key}`,
      }),
    ),
    safe: ["400"],
  },
});
