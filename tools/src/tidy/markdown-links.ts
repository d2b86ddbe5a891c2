/** Links between the documents: a link to a file or a heading that is not there is refused. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import type { Finding, SourceFile } from "./source-file.ts";
import { ROOT, sourceFile } from "./source-file.ts";

const LINK = /\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g;

export function deadLinks(file: SourceFile): readonly Finding[] {
  if (!file.path.endsWith(".md")) return [];
  return proseLines(file).flatMap(({ text, line }) =>
    [...text.matchAll(LINK)].flatMap(([, target = ""]) => {
      const what = whatIsWrong(file, target);
      return what === undefined
        ? []
        : [{ path: file.path, line, what, instead: "Correct the link, or take it out." }];
    }),
  );
}

function whatIsWrong(file: SourceFile, target: string): string | undefined {
  if (/^(https?|mailto):/.test(target)) return undefined;
  const [path = "", heading] = target.split("#");
  const full = path === "" ? file.path : normalize(join(dirname(file.path), path));
  if (path !== "" && !existsSync(join(ROOT, full))) return `The link ${target} leads to no file.`;
  if (heading === undefined || !full.endsWith(".md")) return undefined;
  const to = full === file.path ? file : sourceFile(full, readFileSync(join(ROOT, full), "utf8"));
  return headingsOf(to).has(heading) ? undefined : `The link ${target} leads to no heading.`;
}

/** The anchors of a document's headings, as GitHub makes them. */
function headingsOf(file: SourceFile): ReadonlySet<string> {
  const anchors = proseLines(file)
    .filter(({ text }) => /^#+\s/.test(text))
    .map(({ text }) => text.replace(/^#+\s+/, "").toLowerCase())
    .map((text) => text.replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-"));
  return new Set(anchors);
}

/** The lines outside code blocks, without the code in them. */
function proseLines(file: SourceFile): readonly { text: string; line: number }[] {
  let fenced = false;
  return file.lines.flatMap((text, index) => {
    if (/^\s*(```|~~~)/.test(text)) {
      fenced = !fenced;
      return [];
    }
    return fenced ? [] : [{ text: text, line: index + 1 }];
  });
}
