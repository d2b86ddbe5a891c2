import fc from "fast-check";
import { expect, test } from "vitest";
import { CATALOGUE_HBA, type HbaRow, renderHba, TENANT_HBA } from "./hba.ts";

test("the platform comes in first, tenants into their database only, and nobody else", () => {
  expect(renderHba(TENANT_HBA)).toBe(
    "local all aerodb_root scram-sha-256\n" +
      "local aerodb aerodb_meter scram-sha-256\n" +
      "local aerodb aerodb_pool scram-sha-256\n" +
      "local aerodb +aerodb_tenants scram-sha-256\n" +
      "local all all reject\n",
  );
  expect(renderHba(CATALOGUE_HBA)).not.toContain("tenants");
});

test("every table ends with the refusal of everybody else, and trusts nobody", () => {
  for (const rows of [TENANT_HBA, CATALOGUE_HBA]) {
    expect(rows.at(-1)).toEqual({ database: "all", user: "all", method: "reject" });
    expect(rows[0]?.user).toBe("aerodb_root");
    expect(rows.slice(0, -1).map(({ method }) => method)).not.toContain("reject");
  }
});

const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,20}$/);
const row: fc.Arbitrary<HbaRow> = fc.record({
  database: name,
  user: name,
  method: fc.constantFrom("scram-sha-256", "reject"),
});

test("rows keep their order, one line each", () => {
  fc.assert(
    fc.property(fc.array(row), (rows) => {
      const lines = renderHba(rows).split("\n").slice(0, -1);
      expect(lines).toEqual(rows.map((it) => `local ${it.database} ${it.user} ${it.method}`));
    }),
  );
});

test("a name that could be read as something else is refused", () => {
  for (const user of ["a b", "a\nb", '"a"', "a,b", "@file", "/regex", "", "a#b"]) {
    expect(() => renderHba([{ database: "aerodb", user, method: "reject" }])).toThrow("pg_hba");
  }
});

interface Knock {
  readonly database: string;
  readonly user: string;
  /** Whether the role is in the group of all tenants. */
  readonly tenant: boolean;
}

/** What Postgres does: the first line that matches decides, and without one nobody comes in. */
function answered(text: string, { database, user, tenant }: Knock): string {
  for (const line of text.trimEnd().split("\n")) {
    const [, where, who = "", method = ""] = line.split(" ");
    const member = who === "+aerodb_tenants" && (tenant || user === "aerodb_tenants");
    if ([database, "all"].includes(where ?? "") && (member || [user, "all"].includes(who))) {
      return method;
    }
  }
  return "reject";
}

/** What is meant. */
function meant({ database, user, tenant }: Knock, catalogue: boolean): string {
  const own = ["aerodb_meter", "aerodb_pool", "aerodb_tenants"].includes(user) || tenant;
  const admitted = user === "aerodb_root" || (!catalogue && own && database === "aerodb");
  return admitted ? "scram-sha-256" : "reject";
}

const OWN = ["aerodb_root", "aerodb_meter", "aerodb_pool", "aerodb_tenants", "aerodb_canary"];
const knock: fc.Arbitrary<Knock> = fc.record({
  database: fc.oneof(name, fc.constantFrom("aerodb", "postgres", "template1", "replication")),
  user: fc.oneof(name, fc.constantFrom(...OWN)),
  tenant: fc.boolean(),
});

test("whoever knocks, the first line that matches lets in whom the platform means, and nobody else", () => {
  fc.assert(
    fc.property(knock, (it) => {
      expect(answered(renderHba(TENANT_HBA), it)).toBe(meant(it, false));
      expect(answered(renderHba(CATALOGUE_HBA), it)).toBe(meant(it, true));
    }),
    { numRuns: 1_000 },
  );
});
