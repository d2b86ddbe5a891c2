/** The limit that an instance's space was made for, noted beside it. */
import { readFile, rm } from "node:fs/promises";
import { replaceFile } from "@aerodb/runtime";

export interface SpaceLimit {
  /** What holds the limit; `none` where the host has nothing that could. */
  readonly means: "loop" | "btrfs" | "none";
  readonly storageMiB: number;
}

const MEANS = ["loop", "btrfs", "none"] as const;

/** Undefined when there is no limit. */
export async function readLimit(path: string): Promise<SpaceLimit | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const [name, storageMiB] = text.trim().split(" ");
  const means = MEANS.find((each) => each === name);
  if (means === undefined) throw new Error(`bug: ${JSON.stringify(text)} in ${path}`);
  return { means, storageMiB: Number(storageMiB) };
}

/** Notes a limit, whole or not at all; for good, unless the caller flushes what it is beside. */
export async function writeLimit(
  path: string,
  limit: SpaceLimit | undefined,
  { flush = true }: { readonly flush?: boolean } = {},
): Promise<void> {
  if (limit === undefined) return rm(path, { force: true });
  await replaceFile(path, `${limit.means} ${limit.storageMiB}\n`, { flush });
}
