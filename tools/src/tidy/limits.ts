/** Hard limits of size. The targets of STYLE.md are far below them. */
import ts from "typescript";
import type { Finding, SourceFile } from "./source-file.ts";
import { isCode } from "./source-file.ts";
import { endLineOf, lineOf, nodesOf } from "./syntax.ts";

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;
const MAX_LINE_LENGTH = 100;
/** Addresses, imports of one name, and the titles of tests, which are one sentence each. */
const UNBREAKABLE = /https?:\/\/|^import .* from "|^\s*(test|it|describe)(\.\w+)*\(["`]/;

export function overLimits(file: SourceFile): readonly Finding[] {
  if (!isCode(file) && !/\.(sql|proto)$/.test(file.path)) return [];
  return [...longFile(file), ...longLines(file), ...longFunctions(file)];
}

function longFile({ path, lines }: SourceFile): readonly Finding[] {
  if (lines.length <= MAX_FILE_LINES) return [];
  // schema.sql is a picture of the whole catalogue, printed.
  if (path === "control/schema.sql") return [];
  return [
    {
      path,
      line: MAX_FILE_LINES + 1,
      what: `The file has ${lines.length} lines, more than ${MAX_FILE_LINES}.`,
      instead: "Split it by verb: one file per thing it does, each named for its noun.",
    },
  ];
}

function longLines(file: SourceFile): readonly Finding[] {
  if (!isCode(file)) return [];
  return file.lines.flatMap((text, index) => {
    if (text.length <= MAX_LINE_LENGTH || UNBREAKABLE.test(text)) return [];
    const what = `The line has ${text.length} characters, more than ${MAX_LINE_LENGTH}.`;
    return [{ path: file.path, line: index + 1, what, instead: "Break the text or the comment." }];
  });
}

function longFunctions(file: SourceFile): readonly Finding[] {
  if (!isCode(file)) return [];
  const findings: Finding[] = [];
  for (const node of nodesOf(file)) {
    if (!ts.isFunctionLike(node) || isBodyOfDescribe(node)) continue;
    const length = endLineOf(node) - lineOf(node) + 1;
    if (length <= MAX_FUNCTION_LINES) continue;
    findings.push({
      path: file.path,
      line: lineOf(node),
      what: `The function has ${length} lines, more than ${MAX_FUNCTION_LINES}.`,
      instead: "Give its steps names of their own: read, decide, act.",
    });
  }
  return findings;
}

/** `describe("…", () => { … })` groups tests; each test in it is measured. */
function isBodyOfDescribe(node: ts.Node): boolean {
  if (!ts.isCallExpression(node.parent)) return false;
  return /^(describe|suite)\b/.test(node.parent.expression.getText());
}
