/** What is asked of a data directory and an engine before every start of a server. */
import { Fault } from "@aerodb/model";
import { readChecksums } from "./control-file.ts";
import { type Engine, requireFloor, rereadEngine } from "./engine.ts";

/**
 * Refuses data without checksums: a bit that flips on the disk would be served as data. Throws
 * UNAVAILABLE.
 */
export async function requireChecksums(dataDirectory: string): Promise<void> {
  if (await readChecksums(dataDirectory)) return;
  throw new Fault(
    "UNAVAILABLE",
    `The data in ${dataDirectory} has no checksums, and is not served without: ` +
      "stop all that uses it and run pg_checksums --enable on it.",
  );
}

/**
 * The engine as its programs are now, which may have been replaced since it was found. Throws
 * UNAVAILABLE when it may not serve: in production one under its version floor.
 */
export async function requireEngine(
  engine: Engine,
  options: { readonly production?: boolean },
): Promise<Engine> {
  const now = await rereadEngine(engine);
  if (now.major !== engine.major) {
    const was = `${engine.binDirectory} held Postgres ${engine.version}`;
    throw new Fault("UNAVAILABLE", `${was} and now holds ${now.version}: restart the agent.`);
  }
  if (options.production === true) requireFloor(now);
  return now;
}
