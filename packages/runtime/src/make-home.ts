import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "@aerodb/model";

/**
 * Makes the home of a process and what leads to it; INVALID_ARGUMENT where it cannot be made or
 * written. One step at a time: Node's own recursion never ends where nothing can be made, as under
 * /proc.
 */
export function makeHome(home: string): void {
  make(home);
  trying("written", home, () => accessSync(home, constants.W_OK));
}

function make(directory: string): void {
  if (existsSync(directory)) return;
  make(dirname(directory));
  trying("made", directory, () => mkdirSync(directory, { mode: 0o711 }));
}

function trying(what: string, path: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    const sentence = `${path} cannot be ${what} (${code}): choose another home with --home.`;
    throw new Fault("INVALID_ARGUMENT", sentence, { cause: error });
  }
}
