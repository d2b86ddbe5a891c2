/** The real command line against an API that answers from memory. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Fault } from "@aerodb/model";
import { TenantSchema, TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { faultsToCodes } from "@aerodb/wire";
import { create } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("../../bin/aerodb.mjs", import.meta.url));
const KEY = "a-key-for-the-test";
const URI = "postgres://ten_a:secret@127.0.0.1:6432/acme";

let home: string;
let server: Server;
let names: Set<string>;
let keysSeen: (string | null)[];

const tenant = (name: string, password = "") =>
  create(TenantSchema, {
    tenantId: `ten_${name}`,
    name,
    plan: "pro",
    status: "active",
    quarantined: name === "walled",
    connection: { host: "127.0.0.1", port: 6432, database: name, password, uri: URI },
  });

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "aerodb-verbs-"));
  const adapter = connectNodeAdapter({
    interceptors: [faultsToCodes],
    routes: (router) =>
      router.service(TenantService, {
        createTenant({ name }, { requestHeader }) {
          keysSeen.push(requestHeader.get("authorization"));
          if (names.has(name)) throw new Fault("TENANT_NAME_EXISTS", `${name} is taken.`);
          names.add(name);
          return { tenant: tenant(name, "secret") };
        },
        getTenant({ tenant: name }) {
          if (!names.has(name)) throw new Fault("TENANT_NOT_FOUND", `There is no ${name}.`);
          return { tenant: tenant(name) };
        },
        listTenants({ pageToken }) {
          const all = [...names].map((name) => tenant(name));
          if (pageToken === "") return { tenants: all.slice(0, 1), nextPageToken: "more" };
          return { tenants: all.slice(1), nextPageToken: "" };
        },
        suspendTenant({ tenant: name, reason: statusReason }) {
          if (!names.has(name)) throw new Fault("TENANT_NOT_FOUND", `There is no ${name}.`);
          return { tenant: { ...tenant(name), status: "suspended", statusReason } };
        },
        reinstateTenant({ tenant: name }) {
          if (names.has(name)) return { tenant: tenant(name) };
          throw new Fault("TENANT_NOT_ACTIVE", `The tenant ${name} is being created.`);
        },
        deleteTenant({ tenant: id }) {
          names.delete(id.replace("ten_", ""));
          return { tenant: tenant(id) };
        },
      }),
  });
  server = createServer(adapter);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.close();
  rmSync(home, { recursive: true });
});
beforeEach(() => {
  names = new Set();
  keysSeen = [];
});

async function aerodb(args: readonly string[], input = "") {
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const shared = ["--home", home, "--url", url, "--key", KEY];
  const child = spawn(process.execPath, [PROGRAM, ...args, ...shared], { stdio: "pipe" });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    stderr += String(chunk);
  });
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stdout, stderr };
}

describe("creating a tenant", () => {
  test("shows its password, and keeps it for psql", async () => {
    const { code, stdout } = await aerodb(["tenants", "create", "acme", "--output", "json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      tenant_id: "ten_acme",
      status: "active",
      connection: { password: "secret", uri: URI },
    });
    expect(keysSeen).toEqual([`Bearer ${KEY}`]);
    expect(JSON.parse(readFileSync(join(home, "credentials.json"), "utf8"))).toMatchObject({
      ten_acme: { name: "acme", uri: URI },
    });
  });

  test("whose name is taken ends with 4 and a sentence", async () => {
    names.add("acme");
    const { code, stdout, stderr } = await aerodb(["tenants", "create", "acme"]);
    expect({ code, stdout, stderr }).toEqual({
      code: 4,
      stdout: "",
      stderr: "aerodb: acme is taken.\n",
    });
  });
});

test("a list goes through all pages", async () => {
  names = new Set(["acme", "globex", "initech"]);
  const { stdout } = await aerodb(["tenants", "list"]);
  const [titles, ...rows] = stdout.trim().split("\n");
  expect(titles).toMatch(/^NAME +TENANT ID +PLAN/);
  expect(rows.map((row) => row.split(" ")[0])).toEqual(["acme", "globex", "initech"]);
});

test("a tenant that is not there ends with 3", async () => {
  const { code, stderr } = await aerodb(["tenants", "get", "nobody"]);
  expect({ code, stderr }).toEqual({ code: 3, stderr: "aerodb: There is no nobody.\n" });
});

describe("suspending a tenant", () => {
  test("needs a reason, which is passed on", async () => {
    names.add("acme");
    const without = await aerodb(["tenants", "suspend", "acme"]);
    expect(without.code).toBe(2);
    expect(without.stderr).toContain("--reason");
    const words = ["tenants", "suspend", "acme", "--reason", "unpaid since May"];
    const { code, stdout } = await aerodb([...words, "--output", "json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ status: "suspended", status_reason: "unpaid since May" },
    });
  });

  test("shows one in quarantine as that, and not as active", async () => {
    names.add("acme").add("walled");
    const { stdout } = await aerodb(["tenants", "list"]);
    expect(stdout).toMatch(/^acme .* active /m);
    expect(stdout).toMatch(/^walled .* quarantined /m);
  });

  test("ends when it is reinstated; one that is not there, or comes, has its exit code", async () => {
    names.add("acme");
    const back = await aerodb(["tenants", "reinstate", "acme"]);
    expect({ code: back.code, told: back.stdout.includes("active") }).toEqual({
      ...{ code: 0, told: true },
    });
    expect((await aerodb(["tenants", "suspend", "nobody", "--reason", "x"])).code).toBe(3);
    expect((await aerodb(["tenants", "reinstate", "nobody"])).code).toBe(4);
  });
});

describe("deleting a tenant", () => {
  test("asks for its name, and does nothing at another", async () => {
    names.add("acme");
    const { code, stderr } = await aerodb(["tenants", "delete", "acme"], "acmee\n");
    expect(code).toBe(4);
    expect(stderr).toContain("Not deleted");
    expect(names.has("acme")).toBe(true);
  });

  test("happens when its name is typed", async () => {
    names.add("acme");
    const { code, stdout } = await aerodb(["tenants", "delete", "acme"], "acme\n");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "acme is deleted.\n" });
    expect(names.has("acme")).toBe(false);
  });

  test("happens unasked with --yes", async () => {
    names.add("acme");
    expect((await aerodb(["tenants", "delete", "acme", "--yes"])).code).toBe(0);
    expect(names.has("acme")).toBe(false);
  });
});

test("a command line that means nothing ends with 2", async () => {
  expect((await aerodb(["tenants", "creat", "acme"])).code).toBe(2);
  expect((await aerodb(["tenants", "create", "acme", "--label", "x"])).code).toBe(2);
});
