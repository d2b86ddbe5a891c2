/** Secrets on disk: readable by their owner only, there whole or not at all. */
import { existsSync, readFileSync } from "node:fs";
import { replaceFileSync } from "@aerodb/runtime";

export function writeSecret(path: string, text: string): void {
  replaceFileSync(path, `${text}\n`);
}

export function readSecret(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8").trim() : undefined;
}

/** The secret that a file holds; a new one is made and kept when there is none. */
export function ensureSecret(path: string, make: () => string): string {
  const held = readSecret(path);
  if (held !== undefined && held !== "") return held;
  const made = make();
  writeSecret(path, made);
  return made;
}
