/**
 * Words: what a name may not be called (the part of docs/glossary.md that can be checked without
 * reading the sentence), what may not stay in code, and paths of somebody's own machine.
 */
import ts from "typescript";
import type { Finding, SourceFile } from "./source-file.ts";
import { isCode } from "./source-file.ts";
import { lineOf, nodesOf } from "./syntax.ts";

/**
 * Words with no innocent use in this code base, and the glossary's word for each. Others of the
 * glossary ("node", "pool", "lock", "status", "task") mean something else too and are left to
 * review.
 */
const REFUSED_WORDS: Readonly<Record<string, string>> = {
  account: "tenant",
  allocation: "placement",
  customer: "tenant",
  daemon: "agent",
  datacenter: "region",
  datacentre: "region",
  flavor: "engine",
  flavour: "engine",
  follower: "standby",
  hibernate: "pause",
  inventory: "fingerprint",
  master: "primary",
  pod: "instance",
  replica: "standby, or instance",
  saga: "workflow",
  slave: "standby",
};

/** Files so named hold what nobody found a name for. */
const REFUSED_FILE_WORDS: Readonly<Record<string, string>> = {
  ...REFUSED_WORDS,
  common: "the noun it is about",
  helper: "the noun it is about",
  helpers: "the noun it is about",
  manager: "the noun it is about, or the verb it does",
  util: "the noun it is about",
  utils: "the noun it is about",
};

/** Spelled apart, so that this file does not refuse itself. */
const UNFINISHED = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`);
const ONLY = /\b(test|it|describe|suite)\.only\b/;
const SKIP = /\b(test|it|describe|suite)\.(skip|todo)\(/;
/** Homes, mounts and drives of one machine. */
const OWN_MACHINE =
  /(^|[\s"'`(=:])(\/(home|Users|mnt)\/[\w.-]+\/|\/(root|work|workspace)\/|[A-Z]:\\)/;

export function refusedWords(file: SourceFile): readonly Finding[] {
  return [
    ...refusedNames(file),
    ...refusedInFileName(file),
    ...uncheckedCasts(file),
    ...refusedLines(file),
  ];
}

function refusedInFileName({ path }: SourceFile): readonly Finding[] {
  const words = path.split(/[^A-Za-z]+/);
  return words.flatMap((word) =>
    judge({ path, line: 1, name: path, word, refused: REFUSED_FILE_WORDS }),
  );
}

function refusedNames(file: SourceFile): readonly Finding[] {
  const { path } = file;
  if (/\.(sql|proto)$/.test(path)) {
    return file.lines.flatMap((text, index) => {
      const names = text.replace(/(--|\/\/).*|'[^']*'/g, "").match(/[A-Za-z_]+/g) ?? [];
      return names.flatMap((name) => judgeName({ path, line: index + 1, name }));
    });
  }
  if (!isCode(file)) return [];
  return declaredNames(file).flatMap(({ name, line }) => judgeName({ path, line, name }));
}

function judgeName(at: { path: string; line: number; name: string }): readonly Finding[] {
  const words = at.name.split(/_|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/);
  return words.flatMap((word) => judge({ ...at, word, refused: REFUSED_WORDS }));
}

function judge(at: {
  readonly path: string;
  readonly line: number;
  readonly name: string;
  readonly word: string;
  readonly refused: Readonly<Record<string, string>>;
}): readonly Finding[] {
  const word = at.word.toLowerCase();
  if (!Object.hasOwn(at.refused, word)) return [];
  return [
    {
      path: at.path,
      line: at.line,
      what: `The name ${at.name} says "${word}".`,
      instead: `Say ${at.refused[word]} (docs/glossary.md).`,
    },
  ];
}

/** What a file names itself; what it imports was named by others. */
function declaredNames(file: SourceFile): readonly { name: string; line: number }[] {
  const names: { name: string; line: number }[] = [];
  for (const node of nodesOf(file)) {
    if (!isDeclaration(node) || node.name === undefined || !ts.isIdentifier(node.name)) continue;
    names.push({ name: node.name.text, line: lineOf(node) });
  }
  return names;
}

function isDeclaration(node: ts.Node): node is ts.Node & { readonly name?: ts.Node } {
  return (
    ts.isVariableDeclaration(node) ||
    ts.isParameter(node) ||
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isMethodSignature(node) ||
    ts.isPropertySignature(node) ||
    ts.isPropertyDeclaration(node)
  );
}

function uncheckedCasts(file: SourceFile): readonly Finding[] {
  if (!isCode(file)) return [];
  return [...nodesOf(file)]
    .filter((node) => ts.isAsExpression(node) && node.type.kind === ts.SyntaxKind.AnyKeyword)
    .map((node) => ({
      path: file.path,
      line: lineOf(node),
      what: "A cast to any switches the checks off.",
      instead: "Parse the value, or narrow it from unknown.",
    }));
}

function refusedLines(file: SourceFile): readonly Finding[] {
  const { path } = file;
  if (path.startsWith("docs/api/")) return [];
  return file.lines.flatMap((text, index) => {
    const line = index + 1;
    if (UNFINISHED.test(text)) {
      const what = "A note of something unfinished.";
      return [{ path, line, what, instead: "Finish it, or open an issue and take the note out." }];
    }
    if (OWN_MACHINE.test(text)) {
      const what = "A path of one machine.";
      return [{ path, line, what, instead: "Make it relative to the repository, or a setting." }];
    }
    return isCode(file) ? refusedInCode({ file, text, index }) : [];
  });
}

function refusedInCode(at: {
  readonly file: SourceFile;
  readonly text: string;
  readonly index: number;
}): readonly Finding[] {
  const { path } = at.file;
  const line = at.index + 1;
  if (ONLY.test(at.text)) {
    const what = "`.only` hides every other test.";
    return [{ path, line, what, instead: "Take it out; `npx vitest run <path>` runs one file." }];
  }
  const before = at.file.lines[at.index - 1]?.trim() ?? "";
  if (SKIP.test(at.text) && !/^(\/\/|\*)/.test(before)) {
    const what = "A test is skipped and nothing says why.";
    const instead = "Use `test.skipIf(condition)`, or write the reason in a comment above it.";
    return [{ path, line, what, instead }];
  }
  return [];
}
