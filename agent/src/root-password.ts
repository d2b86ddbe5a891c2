import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { newSecret, replaceFileSync } from "@aerodb/runtime";

/**
 * The password of the platform's superuser in every instance of this host, kept in a file that only
 * the agent reads. A template holds its verifier, so agents that share templates share it as well:
 * the first makes it beside them, the others copy it.
 */
export function ensureRootPassword(home: string, engineDirectory: string): string {
  const own = join(home, "root-password");
  const shared = join(engineDirectory, "root-password");
  if (!existsSync(own)) {
    if (!existsSync(shared)) makeOnce(shared);
    replaceFileSync(own, readFileSync(shared));
  }
  return readFileSync(own, "utf8").trim();
}

/** Of several that make it at once, one wins. */
function makeOnce(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${newSecret()}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
