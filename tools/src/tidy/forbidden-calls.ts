/** Calls that have one home. Elsewhere the test says what to call instead. */
import ts from "typescript";
import type { Finding, SourceFile } from "./source-file.ts";
import { isCode, isTestOrTool } from "./source-file.ts";
import { lineOf, nodesOf } from "./syntax.ts";

interface ForbiddenCall {
  readonly what: string;
  readonly instead: string;
  readonly home: RegExp;
}

/** Code that reads the clock and sets timers, so that nobody else has to. */
const CLOCK_HOME = /^packages\/runtime\//;
const CONFIG_HOME = /(^|\/)config(-[a-z-]+)?\.ts$|^packages\/runtime\/src\/config|^cli\/bin\//;

/** The calls by their text in the source. */
const FORBIDDEN: Readonly<Record<string, ForbiddenCall>> = {
  "process.env": {
    what: "process.env is read only in config.ts.",
    instead: "Add the value to the piece's configuration and pass it in.",
    home: CONFIG_HOME,
  },
  "Date.now": clockCall("Date.now()", "now() for a time, monotonicMs() for a duration"),
  "new Date": clockCall("new Date()", "now()"),
  "performance.now": clockCall("performance.now()", "monotonicMs()"),
  "Math.random": clockCall("Math.random()", "a seeded source, backoff's jitter or newId()"),
  setTimeout: clockCall("setTimeout", "sleep(), after() or within(), which take a deadline"),
  setInterval: clockCall("setInterval", "every()"),
  "node:timers": clockCall("node:timers", "sleep(), after() or every()"),
};

function clockCall(what: string, instead: string): ForbiddenCall {
  return {
    what: `${what} is only for packages/runtime.`,
    instead: `Use ${instead} of @aerodb/runtime.`,
    home: CLOCK_HOME,
  };
}

export function forbiddenCalls(file: SourceFile): readonly Finding[] {
  if (!isCode(file) || isTestOrTool(file.path) || !file.path.includes("/")) return [];
  const findings: Finding[] = [];
  for (const node of nodesOf(file)) {
    const name = forbiddenName(node);
    const call = name === undefined ? undefined : FORBIDDEN[name];
    if (call === undefined || call.home.test(file.path)) continue;
    const { what, instead } = call;
    findings.push({ path: file.path, line: lineOf(node), what, instead });
  }
  return findings;
}

function forbiddenName(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node)) return node.getText().replace(/^globalThis\./, "");
  if (ts.isNewExpression(node) && node.expression.getText() === "Date") {
    return node.arguments === undefined || node.arguments.length === 0 ? "new Date" : undefined;
  }
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) return node.expression.text;
  if (ts.isImportDeclaration(node)) {
    const from = (node.moduleSpecifier as ts.StringLiteral).text;
    return /^(node:)?timers(\/promises)?$/.test(from) ? "node:timers" : undefined;
  }
  return undefined;
}
