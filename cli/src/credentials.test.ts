import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findCredentials, forgetCredentials, keepCredentials } from "./credentials.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "aerodb-credentials-"));
});
afterEach(() => rmSync(home, { recursive: true }));

test("a tenant's URI is found again, and only its owner can read the file", () => {
  keepCredentials(home, { tenantId: "ten_a", name: "acme", uri: "postgres://a:b@h/acme" });
  keepCredentials(home, { tenantId: "ten_b", name: "other", uri: "postgres://c:d@h/other" });
  expect(findCredentials(home, "ten_a")).toBe("postgres://a:b@h/acme");
  expect(statSync(join(home, "credentials.json")).mode & 0o777).toBe(0o600);
});

test("a tenant that took the name of a deleted one does not get its password", () => {
  keepCredentials(home, { tenantId: "ten_a", name: "acme", uri: "postgres://a:b@h/acme" });
  forgetCredentials(home, "ten_a");
  forgetCredentials(home, "ten_a");
  expect(findCredentials(home, "ten_a")).toBeUndefined();
});

test("a damaged file is named", () => {
  writeFileSync(join(home, "credentials.json"), "{");
  expect(() => findCredentials(home, "ten_a")).toThrow("credentials.json is damaged");
});
