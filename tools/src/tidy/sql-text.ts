/** SQL lives where it can be found and reviewed: one file per aggregate, one function per verb. */
import ts from "typescript";
import type { Finding, SourceFile } from "./source-file.ts";
import { isCode, isTestOrTool } from "./source-file.ts";
import { lineOf, nodesOf } from "./syntax.ts";

/** The store and what knows Postgres; and the two files that keep state in SQLite. */
const HOMES = [
  "control/src/store/",
  "control/migrations/",
  "packages/postgres/",
  "packages/db/",
  "packages/runtime/src/ledger.ts",
  "packages/runtime/src/spool.ts",
];

const OBJECT = "(role|user|database|schema|table|view|function|index|policy|trigger|extension)";

/** Starts of statements that English sentences do not share. */
const STATEMENTS = [
  "select\\s+(.*\\s)?from\\s",
  "select\\s+(pg_|current_|set_config|1\\b|\\*|\\$1)",
  "insert\\s+into\\s",
  "update\\s+\\S+\\s+set\\s",
  "delete\\s+from\\s+\\S+(\\s+where\\s|$)",
  `(create|alter|drop)\\s+(or\\s+replace\\s+)?(unique\\s+)?${OBJECT}\\s+\\S`,
  "alter\\s+(default\\s+privileges|system)\\s",
  "(grant|revoke)\\s+.*\\s(on|to|from)\\s",
  "set\\s+(local\\s+|session\\s+)?(role|search_path|statement_timeout)\\b",
  "reset\\s+(role|all)\\b",
  '(listen|notify|unlisten)\\s+[a-z_"*]+$',
].join("|");
const STATEMENT = new RegExp(`^\\s*(${STATEMENTS})`, "is");

export function strandedSql(file: SourceFile): readonly Finding[] {
  if (!isCode(file) || isTestOrTool(file.path)) return [];
  if (HOMES.some((home) => file.path.startsWith(home))) return [];
  const findings: Finding[] = [];
  for (const node of nodesOf(file)) {
    if (!isSql(node)) continue;
    findings.push({
      path: file.path,
      line: lineOf(node),
      what: "SQL outside control/src/store, control/migrations, packages/postgres, packages/db.",
      instead: "Make it a function of the store, named for the verb, and call that.",
    });
  }
  return findings;
}

function isSql(node: ts.Node): boolean {
  if (ts.isTaggedTemplateExpression(node)) return node.tag.getText() === "sql";
  if (ts.isStringLiteralLike(node)) return looksLikeSql(node.text);
  return ts.isTemplateExpression(node) && looksLikeSql(node.getText().slice(1, -1));
}

/** A sentence begins with one capital letter; a statement with none or with only those. */
export function looksLikeSql(text: string): boolean {
  const [word = ""] = /[a-z]+/i.exec(text) ?? [];
  const oneCase = word === word.toLowerCase() || word === word.toUpperCase();
  return oneCase && STATEMENT.test(text);
}
