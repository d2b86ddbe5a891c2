import { fileURLToPath } from "node:url";
import { type Database, migrate, openDatabase } from "@aerodb/db";
import { Fault, messageOf } from "@aerodb/model";
import { backoffMs, type Logger, sleep } from "@aerodb/runtime";

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));
const PATIENCE_MS = 30_000;
const BACKOFF = { firstMs: 50, maxMs: 1_000 };

/**
 * Opens the catalogue and brings its tables up to date. Waits a while for one that is just
 * starting.
 */
export async function openCatalogue(options: {
  readonly url: string;
  readonly maxConnections: number;
  readonly logger: Logger;
}): Promise<Database> {
  const { url, maxConnections, logger } = options;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  for (let failures = 1; ; failures += 1) {
    try {
      const ran = await migrate(url, MIGRATIONS);
      if (ran.length > 0) logger.info({ ran }, "migrated the catalogue");
      return openDatabase({ url, maxConnections, applicationName: "aerodb-control" });
    } catch (error) {
      if (!isStarting(error)) throw error;
      const message = `The catalogue does not answer: ${messageOf(error)}.`;
      const pause = sleep(backoffMs(failures, BACKOFF), patience);
      await pause.catch(() => {
        throw new Fault("UNAVAILABLE", message, { cause: error });
      });
    }
  }
}

/** Whether the server is not there yet, is starting, or is stopping. */
function isStarting(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOENT", "57P01", "57P03"].includes(String(code));
}
