/** Files are kebab-case and named for the one noun inside; every code file has an import row. */
import { CODE_FOLDERS, rowOf } from "../import-table.ts";
import type { Finding, SourceFile } from "./source-file.ts";
import { isCode } from "./source-file.ts";

const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench|config|gen|d))?\.[a-z]+$/;
/** Names that tools prescribe: buf wants proto files in snake_case; dot files have their own. */
const PRESCRIBED = /(^|\/)(\.[^/]+|[A-Z]+(\.md)?|[a-z0-9_]+\.proto|\.dependency-cruiser\.mjs)$/;

export function misnamed({ path }: SourceFile): readonly Finding[] {
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (KEBAB.test(name) || PRESCRIBED.test(path) || path === ".ci/run") return [];
  const what = `The file name ${name} is not kebab-case.`;
  return [{ path, line: 1, what, instead: "Name it for the one noun inside, in kebab-case." }];
}

export function withoutImportRow(file: SourceFile): readonly Finding[] {
  const { path } = file;
  const [folder = ""] = path.split("/");
  if (!isCode(file) || !CODE_FOLDERS.includes(folder) || rowOf(path) !== undefined) return [];
  return [
    {
      path,
      line: 1,
      what: "No row of the import table covers this file.",
      instead: "Decide in tools/src/import-table.ts what its folder may import.",
    },
  ];
}
