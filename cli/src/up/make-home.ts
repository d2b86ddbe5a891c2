import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "@aerodb/model";

/**
 * Makes the home and what leads to it. One step at a time: Node's own recursion never ends where
 * nothing can be made, as under /proc.
 */
export function makeHome(home: string): void {
  if (existsSync(home)) return;
  makeHome(dirname(home));
  try {
    mkdirSync(home, { mode: 0o711 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    const sentence = `${home} cannot be made (${code}): choose another home with --home.`;
    throw new Fault("INVALID_ARGUMENT", sentence, { cause: error });
  }
}
