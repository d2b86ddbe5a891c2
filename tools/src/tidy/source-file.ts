/** The files of the repository, as the tidy rules see them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TEST_FILE } from "../import-table.ts";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

export interface SourceFile {
  /** Relative to the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

/** One place that a rule refuses, and what to do about it. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly what: string;
  readonly instead: string;
}

/** Others' work, kept as it came. */
const NOT_OURS = /^(packages\/rpc\/gen|third_party)\/|^package-lock\.json$|^LICENSE$/;

/** The paths of all that is tracked or could be: what git knows and what it does not ignore. */
function listPaths(): readonly string[] {
  const output = execFileSync("git", ["ls-files", "-z", "-co", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  const paths = new Set(output.split("\0").filter((path) => path !== ""));
  return [...paths].filter((path) => existsSync(join(ROOT, path))).sort();
}

/** The files that were written here, read. */
export function readOurFiles(): readonly SourceFile[] {
  return listPaths()
    .filter((path) => !NOT_OURS.test(path))
    .map((path) => sourceFile(path, readFileSync(join(ROOT, path), "utf8")));
}

export function sourceFile(path: string, text: string): SourceFile {
  return { path, text, lines: text.replace(/\n$/, "").split("\n") };
}

export function isCode(file: SourceFile): boolean {
  return /\.(ts|tsx|js|mjs)$/.test(file.path);
}

/** Whether a file is a test, or there only for tests and for work on the repository. */
export function isTestOrTool(path: string): boolean {
  return TEST_FILE.test(path) || /^(test|tools|packages\/testkit)\//.test(path);
}

/** A finding as one line of text that an editor can jump to. */
export function describe(finding: Finding): string {
  return `${finding.path}:${finding.line}  ${finding.what}\n    ${finding.instead}`;
}
