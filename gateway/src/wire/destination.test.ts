import { RouteSchema, RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { destinationOf } from "./destination.ts";

const routes = ["acme", "globex"].map((name) =>
  create(RouteSchema, {
    tenantId: `ten_${name}`,
    name,
    role: `ten_${name}`,
    state: RouteState.ACTIVE,
  }),
);
const table = {
  byName: (name: string) => routes.find((route) => route.name === name),
  byTenantId: (tenantId: string) => routes.find((route) => route.tenantId === tenantId),
};

function to(
  serverName: string | undefined,
  database: string,
  user = "ten_acme",
  endpoint?: string,
) {
  return destinationOf({ serverName, endpoint, database, user }, "db.example.com", table)?.name;
}

test("an endpoint in the options decides, and so does what follows a dot in the user", () => {
  for (const name of ["acme", "ACME", "ten_acme"]) {
    expect(to(undefined, "postgres", "ten_acme", name)).toBe("acme");
    expect(to(undefined, "acme", "ten_acme", name)).toBe("acme");
    expect(to(undefined, "aerodb", `ten_acme.${name}`)).toBe("acme");
    // As clients ask who were told no database.
    expect(to(undefined, `ten_acme.${name}`, `ten_acme.${name}`)).toBe("acme");
  }
});

test("whatever the case, and with a dot at its end", () => {
  expect(to("Acme.DB.example.com", "postgres")).toBe("acme");
  expect(to("acme.db.example.com.", "postgres")).toBe("acme");
  expect(to(undefined, "ACME")).toBe("acme");
  expect(to(undefined, "acme.")).toBe("acme");
  expect(to(undefined, "postgres", "ten_acme", "acme.")).toBe("acme");
  expect(to(undefined, "postgres", "ten_acme.acme.")).toBe("acme");
});

test("names that contradict each other lead nowhere, and neither do those of other alphabets", () => {
  const host = "acme.db.example.com";
  expect(to(host, "postgres", "ten_acme.acme", "acme")).toBe("acme");
  expect(to(host, "postgres", "ten_acme", "globex")).toBeUndefined();
  expect(to(host, "postgres", "ten_acme.globex")).toBeUndefined();
  expect(to(undefined, "globex", "ten_acme", "acme")).toBeUndefined();
  expect(to(undefined, "postgres", "ten_acme.acme", "globex")).toBeUndefined();
  expect(to(undefined, "acme", "ten_acme.")).toBeUndefined();
  expect(to(undefined, "acme", "ten_acme", "")).toBeUndefined();
  expect(to(undefined, "initech", "ten_acme.acme")).toBeUndefined();
  expect(to("xn--acme-9ra.db.example.com", "acme")).toBeUndefined();
});

test("without a host name of ours the database decides, by name or id", () => {
  expect(to(undefined, "acme")).toBe("acme");
  expect(to(undefined, "ten_acme")).toBe("acme");
  expect(to("localhost", "acme")).toBe("acme");
  expect(to("db.example.com", "acme")).toBe("acme");
  expect(to("a.acme.db.example.com", "acme")).toBe("acme");
});

test("a host name of ours decides, with the tenant's own database or a neutral one", () => {
  for (const database of ["acme", "ten_acme", "aerodb", "postgres"]) {
    expect(to("acme.db.example.com", database)).toBe("acme");
  }
});

test("a host name with the database of another, or of nobody, leads nowhere", () => {
  expect(to("acme.db.example.com", "globex")).toBeUndefined();
  expect(to("acme.db.example.com", "ten_globex")).toBeUndefined();
  expect(to("acme.db.example.com", "initech")).toBeUndefined();
  expect(to("initech.db.example.com", "acme")).toBeUndefined();
});

test("another role than the route's leads nowhere", () => {
  for (const user of ["aerodb_root", "ten_globex", "TEN_ACME", ""]) {
    expect(to(undefined, "acme", user)).toBeUndefined();
  }
});

test("an unknown database leads nowhere", () => {
  for (const database of ["initech", "aerodb", "postgres", ""]) {
    expect(to(undefined, database)).toBeUndefined();
  }
});
