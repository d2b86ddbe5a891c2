import { describe, expect, test } from "vitest";
import { isFree } from "../free-ports.ts";
import { usePlatform } from "../platform.ts";
import { queryOnce } from "../platform-client.ts";
import { AERODB, isInstalled, REPOSITORY, run } from "../program.ts";

/** The exit codes as `aerodb --help` states them. */
const OK = 0;
const USAGE = 2;
const NOT_FOUND = 3;
const REFUSED = 4;
const UNAVAILABLE = 5;

const platform = usePlatform();

describe("aerodb tenants", () => {
  test("creates a tenant and shows how to connect to it", async () => {
    const ended = await platform().cli(["tenants", "create", "acme", "--plan", "pro"]);
    expect(ended.code, ended.stderr).toBe(OK);
    const [uri = ""] = /postgres:\/\/\S+/.exec(ended.stdout) ?? [];
    expect(await queryOnce(uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("gives JSON that a program can read, and nothing else on stdout", async () => {
    const words = ["tenants", "create", "json-tenant", "--plan", "free", "--output", "json"];
    const made = JSON.parse((await platform().cli(words)).stdout);
    expect(made).toMatchObject({ name: "json-tenant", status: "active", isolation: "schema" });
    const got = await platform().cli(["tenants", "get", "json-tenant", "--output", "json"]);
    expect(JSON.parse(got.stdout).tenant_id).toBe(made.tenant_id);
    const listed = await platform().cli(["tenants", "list", "--output", "json"]);
    expect(listed.stdout).toContain(made.tenant_id);
    expect(() => JSON.parse(listed.stdout)).not.toThrow();
  });

  test("lists a table with a heading", async () => {
    await platform().createTenant({ name: "in-the-table" });
    const { code, stdout } = await platform().cli(["tenants", "list"]);
    expect(code).toBe(OK);
    expect(stdout.split("\n")[0]).toMatch(/name/i);
    expect(stdout).toMatch(/in-the-table\s.*free\s/);
  });

  test("changes a plan and rotates a password", async () => {
    const before = await platform().createTenant({ name: "cli-changes" });
    const changed = await platform().cli(["tenants", "update", "cli-changes", "--plan", "pro"]);
    expect(changed.code, changed.stderr).toBe(OK);
    const rotated = await platform().cli(["tenants", "rotate", "cli-changes"]);
    expect(rotated.code, rotated.stderr).toBe(OK);
    const [uri = ""] = /postgres:\/\/\S+/.exec(rotated.stdout) ?? [];
    expect(uri).not.toBe(before.connection.uri);
    expect(await queryOnce(uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("deletes only when the name is typed or --yes is given", async () => {
    await platform().createTenant({ name: "cli-deletes" });
    const unsure = await platform().cli(["tenants", "delete", "cli-deletes"], { input: "no\n" });
    expect(unsure.code).not.toBe(OK);
    expect((await platform().request("GET", "/v1/tenants/cli-deletes")).status).toBe(200);
    const sure = await platform().cli(["tenants", "delete", "cli-deletes", "--yes"]);
    expect(sure.code, sure.stderr).toBe(OK);
    const again = await platform().cli(["tenants", "delete", "cli-deletes", "--yes"]);
    expect(again.code).toBe(NOT_FOUND);
  });
});

describe("the exit code and the sentence", () => {
  test.for([
    ["a tenant that is not there", ["tenants", "get", "nobody"], NOT_FOUND, /nobody/],
    ["a verb that is not there", ["tenants", "frobnicate"], USAGE, /frobnicate/],
    ["an option that is not there", ["tenants", "list", "--colour"], USAGE, /--colour/],
    ["a plan that is not there", ["tenants", "create", "abc", "--plan", "x"], undefined, /"?x"?/],
    [
      "no feasible host",
      ["tenants", "create", "huge", "--plan", "enterprise"],
      UNAVAILABLE,
      /host/,
    ],
  ] as const)("fit %s", async ([, words, code, says]) => {
    const ended = await platform().cli(words);
    if (code === undefined) expect(ended.code).not.toBe(OK);
    else expect(ended.code, ended.stderr).toBe(code);
    expect(ended.stderr).toMatch(says);
    expect(ended.stderr).not.toMatch(/\n\s+at /);
    expect(ended.stdout).toBe("");
  });

  test("fit a name that is taken", async () => {
    await platform().createTenant({ name: "cli-taken" });
    const ended = await platform().cli(["tenants", "create", "cli-taken", "--plan", "free"]);
    expect(ended.code, ended.stderr).toBe(REFUSED);
    expect(ended.stderr).toContain("cli-taken");
  });

  test("fit a platform that does not answer", async () => {
    const port = 9;
    expect(await isFree(port)).toBe(true);
    const words = ["tenants", "list", "--url", `http://127.0.0.1:${port}`];
    const ended = await platform().cli(words);
    expect(ended.code, ended.stderr).toBe(UNAVAILABLE);
    expect(ended.stderr).toContain(`127.0.0.1:${port}`);
  });

  test("fit a key that nobody made", async () => {
    const ended = await platform().cli(["tenants", "list", "--key", "adb_platform_nonsense"]);
    expect(ended.code).not.toBe(OK);
    expect(ended.stderr).toMatch(/key/i);
  });
});

describe("the rest of the command line", () => {
  test("--help lists the verbs, the exit codes and an example", async () => {
    const { code, stdout } = await platform().cli(["--help"]);
    expect(code).toBe(OK);
    for (const word of ["up", "tenants", "hosts", "psql", "status", "doctor", "--output"]) {
      expect(stdout).toContain(word);
    }
    expect(stdout).toMatch(/exit code/i);
    expect(stdout).toMatch(/example/i);
    const verb = await platform().cli(["tenants", "create", "--help"]);
    expect(verb.stdout).toContain("--plan");
  });

  test.for([
    ["hosts", "list"],
    ["regions", "list"],
    ["plans", "list"],
    ["operations", "list"],
  ])("%s %s answers as a table and as JSON", async (words) => {
    const table = await platform().cli(words);
    expect(table.code, table.stderr).toBe(OK);
    const json = await platform().cli([...words, "--output", "json"]);
    expect(() => JSON.parse(json.stdout)).not.toThrow();
  });

  test("a host is described with what happened to it lately", async () => {
    const { body } = await platform().request("GET", "/v1/hosts");
    const described = await platform().cli(["hosts", "describe", body.hosts[0].name]);
    expect(described.code, described.stderr).toBe(OK);
    expect(described.stdout).toMatch(/^Engines\n.*^Lately\n[^\n]*host\./ms);
  });

  test("status says that all is well", async () => {
    const ended = await platform().cli(["status"]);
    expect(ended.code, ended.stderr).toBe(OK);
    expect(ended.stdout).toMatch(/ready/i);
  });

  test("makes a key, which works until it is revoked", async () => {
    const made = await platform().cli([
      "keys",
      "create",
      "reader",
      "--scope",
      "platform:read",
      "--output",
      "json",
    ]);
    expect(made.code, made.stderr).toBe(OK);
    const { key_id, secret } = JSON.parse(made.stdout);
    expect((await platform().cli(["tenants", "list", "--key", secret])).code).toBe(OK);
    expect((await platform().cli(["keys", "revoke", key_id])).code).toBe(OK);
  });

  test.runIf(isInstalled("psql"))("psql opens a session in the tenant it created", async () => {
    await platform().cli(["tenants", "create", "psql-tenant", "--plan", "free"]);
    const words = ["psql", "psql-tenant", "--", "-XAtc", "select 'inside'"];
    const ended = await platform().cli(words);
    expect(ended).toMatchObject({ code: OK, stdout: "inside\n" });
  });

  test("runs from the bin that npm installs", async () => {
    const ended = await run(`${REPOSITORY}/node_modules/.bin/aerodb`, ["version"]);
    expect(ended.code, ended.stderr).toBe(OK);
    expect(ended.stdout).toMatch(/\d+\.\d+\.\d+/);
    expect((await run(process.execPath, [AERODB, "version"])).stdout).toBe(ended.stdout);
  });
});

test("the doctor has nothing to say after all of this", async () => {
  expect((await platform().cli(["doctor"])).code).toBe(OK);
  await platform().settled();
});
