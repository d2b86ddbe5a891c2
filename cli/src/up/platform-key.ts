/**
 * The key of the platform's operator: preset, or made at the first start; always in a file as well.
 */
import { newId, newSecret } from "@aerodb/runtime";
import { readSecret, writeSecret } from "./secret-file.ts";

export interface PlatformKey {
  readonly text: string;
  /** Whether nobody has seen it yet. */
  readonly isNew: boolean;
}

export function ensurePlatformKey(path: string, preset: string | undefined): PlatformKey {
  const held = readSecret(path);
  const text = preset ?? (held === undefined || held === "" ? makeKey() : held);
  if (text !== held) writeSecret(path, text);
  return { text, isNew: text !== held };
}

/** Secret scanners know keys of ours by how they begin. */
function makeKey(): string {
  return `adb_platform_${newId("key").slice("key_".length)}_${newSecret()}`;
}
