/** Engines and templates that the homes of a run share: made once, not at each start. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";

/** A template holds its verifier. */
const CATALOGUE_PASSWORD = "test-catalogue-password-of-some-length-0123456789";

/** Prepares a home that is not there yet. Returns the environment that `up` is to have on it. */
export function shareEngines(home: string): Readonly<Record<string, string>> {
  const directory = join(home, "state", "catalogue");
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  writeFileSync(join(directory, "password"), CATALOGUE_PASSWORD, { mode: 0o600 });
  return { AERODB_ENGINE_DIRECTORY: join(inject("enginesDirectory"), "of-platforms") };
}
