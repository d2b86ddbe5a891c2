import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Everything in a directory, a folder before what is in it. Links are listed and never followed:
 * the recursive listing of Node's own goes wherever one leads.
 */
export function listTree(directory: string): readonly Dirent[] {
  const found: Dirent[] = [];
  const folders = [directory];
  for (const folder of folders) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      found.push(entry);
      if (entry.isDirectory()) folders.push(join(folder, entry.name));
    }
  }
  return found;
}

export function pathOf(entry: Dirent): string {
  return join(entry.parentPath, entry.name);
}
