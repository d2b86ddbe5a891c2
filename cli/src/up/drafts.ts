/** Directories that packages/postgres is building, or began to build when it was killed. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const DRAFT_PREFIX = ".draft-";
/** Where engines, templates and the catalogue's data are built; agents look after their own. */
const WORKSHOPS = ["engines", join("engines", "templates"), "templates", "catalogue"];

export function findDrafts(state: string): readonly string[] {
  return WORKSHOPS.map((name) => join(state, name))
    .filter((directory) => existsSync(directory))
    .flatMap((directory) =>
      readdirSync(directory)
        .filter((name) => name.startsWith(DRAFT_PREFIX))
        .map((name) => join(directory, name)),
    );
}

export function isInDraft(path: string): boolean {
  return path.includes(`/${DRAFT_PREFIX}`);
}
