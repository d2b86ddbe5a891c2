import { Fault } from "@aerodb/model";
import { type Client, DatabaseError } from "pg";
import { isAllowedExtension, withRequired } from "./allowed-extensions.ts";
import { databaseFault } from "./database-fault.ts";
import { EXTENSION_WALL, EXTENSIONS_SCHEMA } from "./extension-wall.ts";
import { quoteIdentifier } from "./identifier.ts";

/** How Postgres says that the engine comes without an extension, by major version. */
const MISSING_CODES = ["0A000", "58P01"];

/**
 * Installs what is missing of these, over the platform's own session, into the platform's schema.
 * Safe to repeat and to race. Never takes one away: a table may be built on it. Throws
 * INVALID_ARGUMENT for one that is not on the list, UNAVAILABLE for one that the engine lacks.
 */
export async function ensureExtensions(client: Client, names: readonly string[]): Promise<void> {
  const unlisted = names.find((name) => !isAllowedExtension(name));
  if (unlisted !== undefined) {
    throw new Fault("INVALID_ARGUMENT", `The extension ${unlisted} is not on the list.`);
  }
  try {
    const there = await installed(client);
    const missing = withRequired(names).filter((name) => !there.has(name));
    if (missing.length === 0) return;
    await ensureWall(client);
    for (const name of missing) await install(client, name);
  } catch (error) {
    throw databaseFault(error, "install an extension");
  }
}

async function installed(client: Client): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string }>(
    "select extname as name from pg_catalog.pg_extension",
  );
  return new Set(rows.map(({ name }) => name));
}

/** An instance from before there was a wall gets it now, unless a tenant took the schema's name. */
async function ensureWall(client: Client): Promise<void> {
  const { rows } = await client.query<{ own: boolean }>(
    `select n.nspowner = 10 as own from pg_catalog.pg_namespace n
      where n.nspname = '${EXTENSIONS_SCHEMA}'`,
  );
  const [schema] = rows;
  if (schema === undefined) await client.query(EXTENSION_WALL.join("\n"));
  if (schema?.own !== false) return;
  throw new Fault(
    "UNAVAILABLE",
    `The tenant has a schema "${EXTENSIONS_SCHEMA}" of its own, where the platform's must be: ` +
      "let it rename that schema.",
  );
}

async function install(client: Client, name: string): Promise<void> {
  const schema = quoteIdentifier(EXTENSIONS_SCHEMA);
  const extension = quoteIdentifier(name);
  try {
    await client.query(`create extension if not exists ${extension} with schema ${schema}`);
  } catch (error) {
    if (!(error instanceof DatabaseError) || !MISSING_CODES.includes(error.code ?? "")) throw error;
    const sentence = `The engine comes without the extension ${name}: ${error.message}.`;
    throw new Fault("UNAVAILABLE", sentence, { cause: error });
  }
}
