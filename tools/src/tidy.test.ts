/**
 * The tidy test: house rules over every file of the repository that was written here. Each failure
 * names the place and says what to do instead.
 */
import { expect, test } from "vitest";
import { misnamed, withoutImportRow } from "./tidy/file-names.ts";
import { forbiddenCalls } from "./tidy/forbidden-calls.ts";
import { overLimits } from "./tidy/limits.ts";
import { deadLinks } from "./tidy/markdown-links.ts";
import type { Finding, SourceFile } from "./tidy/source-file.ts";
import { readOurFiles, describe as sentence } from "./tidy/source-file.ts";
import { strandedSql } from "./tidy/sql-text.ts";
import { refusedWords } from "./tidy/words.ts";

const files = readOurFiles();

const RULES: readonly (readonly [string, (file: SourceFile) => readonly Finding[]])[] = [
  ["files, functions and lines stay within their limits", overLimits],
  ["calls that have a home are made only there", forbiddenCalls],
  ["SQL stays in the store, the migrations and what knows Postgres", strandedSql],
  ["names keep to the glossary and nothing unfinished stays in code", refusedWords],
  ["links in Markdown lead somewhere", deadLinks],
  ["files are named in kebab-case", misnamed],
  ["every code file has a row in the import table", withoutImportRow],
];

test.each(RULES)("%s", (_, rule) => {
  const findings = files.flatMap((file) => [...rule(file)].sort((a, b) => a.line - b.line));

  expect(files.length).toBeGreaterThan(0);
  if (findings.length > 0) expect.fail(`\n${findings.map(sentence).join("\n")}\n`);
});
