/**
 * Which image a name stood for when it was first used on this host: kept on disk, so that a name
 * that moves changes nothing until the operator names another.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "@aerodb/runtime";

export interface ImagePin {
  readonly id: string;
  readonly version: string;
  /** What registries call it; empty when it came from none. */
  readonly digests: readonly string[];
}

/** Undefined when the name was never used. */
export async function readPin(directory: string, name: string): Promise<ImagePin | undefined> {
  const text = await readFile(pathOf(directory, name), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ImagePin);
}

export async function writePin(directory: string, name: string, pin: ImagePin): Promise<void> {
  const path = pathOf(directory, name);
  await mkdir(directory, { recursive: true });
  await replaceFile(path, `${JSON.stringify({ name, ...pin })}\n`);
}

function pathOf(directory: string, name: string): string {
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 12);
  return join(directory, `image-${hash}.json`);
}
