/** What the tidy rules need of TypeScript's syntax tree. */
import ts from "typescript";
import type { SourceFile } from "./source-file.ts";

const trees = new Map<string, { readonly text: string; readonly tree: ts.SourceFile }>();

/** The syntax tree of a file, parsed once. */
function treeOf(file: SourceFile): ts.SourceFile {
  const known = trees.get(file.path);
  if (known?.text === file.text) return known.tree;
  const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  trees.set(file.path, { text: file.text, tree });
  return tree;
}

/** Every node of a file, parents before children. */
export function* nodesOf(file: SourceFile): Generator<ts.Node> {
  const stack: ts.Node[] = [treeOf(file)];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    yield node;
    stack.push(...node.getChildren().filter((child) => !ts.isJSDoc(child)));
  }
}

/** The line a node starts on, counted from 1. */
export function lineOf(node: ts.Node): number {
  const tree = node.getSourceFile();
  return tree.getLineAndCharacterOfPosition(node.getStart()).line + 1;
}

/** The line a node ends on, counted from 1. */
export function endLineOf(node: ts.Node): number {
  return node.getSourceFile().getLineAndCharacterOfPosition(node.getEnd()).line + 1;
}
