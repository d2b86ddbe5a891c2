/**
 * The failpoints that the source has, so that a new one is tested without anybody thinking of it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../program.ts";

const CALL = /\bfailpoint\(\s*(["'`])([^"'`]+)\1/g;

export function failpointsOf(piece: "control" | "agent", folder = ""): string[] {
  const directory = join(REPOSITORY, piece, "src", folder);
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
    .flatMap((path) => [...readFileSync(join(directory, path), "utf8").matchAll(CALL)])
    .map(([, , name]) => name ?? "");
  return [...new Set(names)];
}
