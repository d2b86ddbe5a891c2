import { expect, test } from "vitest";
import { misnamed, withoutImportRow } from "./file-names.ts";
import { forbiddenCalls } from "./forbidden-calls.ts";
import { overLimits } from "./limits.ts";
import { deadLinks } from "./markdown-links.ts";
import { type Finding, type SourceFile, sourceFile } from "./source-file.ts";
import { looksLikeSql, strandedSql } from "./sql-text.ts";
import { refusedWords } from "./words.ts";

type Rule = (file: SourceFile) => readonly Finding[];

function linesFound(rule: Rule, path: string, lines: readonly string[]): readonly number[] {
  const findings = rule(sourceFile(path, `${lines.join("\n")}\n`));
  return findings.map(({ line }) => line).sort((a, b) => a - b);
}

test("a function of more than 70 lines is refused where it starts, however it is written", () => {
  const body = Array.from({ length: 70 }, () => "  act();");
  const long = [
    "function declared() {",
    ...body,
    "}",
    "",
    "export const arrow = () => {",
    ...body,
    "};",
  ];

  expect(linesFound(overLimits, "agent/src/gate.ts", long)).toEqual([1, 74]);
});

test("a group of tests may be long, a test in it may not", () => {
  const test = ["  test('it', () => {", ...Array.from({ length: 70 }, () => "    act();"), "  });"];
  const group = ["describe('all', () => {", ...test, "});"];

  expect(linesFound(overLimits, "agent/src/gate.test.ts", group)).toEqual([2]);
});

test("the clock, chance and the environment are refused outside their homes", () => {
  const lines = [
    'import { setTimeout as wait } from "node:timers/promises";',
    "const at = Date.now();",
    "const also = new Date();",
    "const later = new Date(at);",
    "setTimeout(act, 1);",
    "const chance = Math.random();",
    'const key = process.env["KEY"];',
    "// Date.now() in a comment is only a comment",
  ];
  const found = [1, 2, 3, 5, 6, 7];

  expect(linesFound(forbiddenCalls, "gateway/src/routes.ts", lines)).toEqual(found);
  expect(linesFound(forbiddenCalls, "packages/runtime/src/clock.ts", lines)).toEqual([7]);
  expect(linesFound(forbiddenCalls, "gateway/src/config.ts", lines)).not.toContain(7);
  expect(linesFound(forbiddenCalls, "gateway/src/routes.test.ts", lines)).toEqual([]);
});

test("SQL is told from English, in either case and over several lines", () => {
  const statements = [
    "select tenant_id\n  from tenants",
    "SELECT 1",
    "insert into hosts (name) values ($1)",
    "delete from keys where id = $1",
    "create role x login",
    "GRANT USAGE ON SCHEMA x TO y",
    "set role none",
    "listen changes",
  ];
  const sentences = [
    "Select a host from the list",
    "create a tenant",
    "Create tenants",
    "update the plan",
    "delete",
    "set aside",
    "listen on a port",
    "Grant access to the tenant",
  ];

  expect(statements.filter((text) => !looksLikeSql(text))).toEqual([]);
  expect(sentences.filter(looksLikeSql)).toEqual([]);
});

test("SQL is refused outside the store", () => {
  const lines = ["const statement = sql`select $" + "{name}`;", 'run("drop role x");'];

  expect(linesFound(strandedSql, "control/src/app/tenants.ts", lines)).toEqual([1, 2]);
  expect(linesFound(strandedSql, "control/src/store/tenants.ts", lines)).toEqual([]);
});

test("names that the glossary refuses are found inside longer names, others' names are not", () => {
  const lines = [
    'import { customerList } from "elsewhere";',
    "const replicaCount = customerList.length;",
    "export function findCustomer(): void {}",
    "const postmaster = 1;",
  ];

  expect(linesFound(refusedWords, "control/src/app/tenants.ts", lines)).toEqual([2, 3]);
  expect(linesFound(refusedWords, "control/src/string-utils.ts", [])).toEqual([1]);
  expect(
    linesFound(refusedWords, "control/migrations/1.sql", ["create table customers", "-- customer"]),
  ).toEqual([]);
  expect(linesFound(refusedWords, "proto/a.proto", ["string customer_id = 1;"])).toEqual([1]);
});

test("unfinished, narrowed and skipped work is refused", () => {
  const lines = [
    `// ${"TO"}DO: later`,
    `test.${"only"}("it", act);`,
    `test.${"skip"}("it", act);`,
    "// There is no such kernel here.",
    `test.${"skip"}("it", act);`,
    "const loose = value as any;",
    `const path = "/${"home"}/somebody/thing";`,
  ];

  expect(linesFound(refusedWords, "agent/src/gate.test.ts", lines)).toEqual([1, 2, 3, 6, 7]);
});

test("links to files and headings that are not there are refused, others are not", () => {
  const lines = [
    "# Here we are",
    "[read me](README.md) [up](#here-we-are) [out](https://example.com/x)",
    "[gone](docs/gone.md)",
    "[no heading](#elsewhere)",
    "```",
    "[not a link](nowhere.md)",
    "```",
  ];

  expect(linesFound(deadLinks, "SOMETHING.md", lines)).toEqual([3, 4]);
});

test("files have kebab-case names and folders have import rows", () => {
  expect(linesFound(misnamed, "agent/src/reconcileHost.ts", [])).toEqual([1]);
  expect(linesFound(misnamed, "agent/src/reconcile-host.test.ts", [])).toEqual([]);
  expect(linesFound(withoutImportRow, "packages/novel/src/index.ts", [])).toEqual([1]);
  expect(linesFound(withoutImportRow, "packages/model/src/index.ts", [])).toEqual([]);
});
