/**
 * The part of `npm run format` that Biome leaves out: breaks comments that run past the end of the
 * line, as far as their paragraph. Comments behind code are left to their author.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isCode, ROOT, readOurFiles } from "./tidy/source-file.ts";

const MAX = 100;
const COMMENT_LINE = /^(\s*(?:\*|\/\/) )(\S.*)$/;
const ONE_LINE_BLOCK = /^(\s*)\/\*\* (.*) \*\/$/;
/** What begins something of its own: a list item, a tag, a row of a table. */
const NEW_PARAGRAPH = /^([-*@|#]|\d+\.|```)/;

/** The lines, with every overlong comment paragraph wrapped anew. */
export function wrapComments(lines: readonly string[]): readonly string[] {
  const wrapped: string[] = [];
  const rest = [...lines];
  for (let line = rest.shift(); line !== undefined; line = rest.shift()) {
    const block = line.length > MAX ? ONE_LINE_BLOCK.exec(line) : null;
    if (block !== null) {
      const [, indent = "", text = ""] = block;
      rest.unshift(`${indent} * ${text}`, `${indent} */`);
      wrapped.push(`${indent}/**`);
      continue;
    }
    const comment = line.length > MAX ? COMMENT_LINE.exec(line) : null;
    const end = comment === null ? -1 : line.lastIndexOf(" ", MAX);
    const [, prefix = "", text = ""] = comment ?? [];
    if (end < prefix.length || NEW_PARAGRAPH.test(text)) {
      wrapped.push(line);
      continue;
    }
    wrapped.push(line.slice(0, end));
    pushOn({ prefix, text: line.slice(end + 1), rest });
  }
  return wrapped;
}

/** Puts what did not fit before the next line of the same paragraph, or on a line of its own. */
function pushOn(overflow: {
  readonly prefix: string;
  readonly text: string;
  readonly rest: string[];
}): void {
  const { prefix, text, rest } = overflow;
  const [next = ""] = rest;
  const following = next.startsWith(prefix) ? next.slice(prefix.length) : "";
  if (following === "" || /^\s/.test(following) || NEW_PARAGRAPH.test(following)) {
    rest.unshift(prefix + text);
    return;
  }
  rest[0] = `${prefix}${text} ${following}`;
}

function main(): void {
  for (const file of readOurFiles().filter(isCode)) {
    const text = `${wrapComments(file.lines).join("\n")}\n`;
    if (text !== file.text) writeFileSync(join(ROOT, file.path), text);
  }
}

if (import.meta.main) main();
