/** Files that are replaced whole or not at all. */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { open, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

export interface Replacement {
  /** Of a file that is new; only its owner may read it when left out. */
  readonly mode?: number;
  /**
   * Whether the file outlasts a power failure once this is done; yes when left out. Without, what
   * is read after one may be the file as it was, or an empty one.
   */
  readonly flush?: boolean;
}

export async function replaceFile(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600, flush = true }: Replacement = {},
): Promise<void> {
  await writeFile(draftOf(path), data, { mode, flush });
  await rename(draftOf(path), path);
  if (flush) await flushFolder(dirname(path));
}

export function replaceFileSync(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600, flush = true }: Replacement = {},
): void {
  writeFileSync(draftOf(path), data, { mode, flush });
  renameSync(draftOf(path), path);
  if (!flush) return;
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Makes what was created, renamed and removed in a folder outlast a power failure. */
export async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function draftOf(path: string): string {
  return `${path}.new`;
}
