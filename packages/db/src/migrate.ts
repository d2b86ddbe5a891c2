import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";

/**
 * Held while migrations run, so that several processes that start at once run each of them once.
 */
const ADVISORY_LOCK = 7_236_002_115;

/**
 * Runs every `NNNN-name.sql` of a directory that has not run yet, in order, each in one
 * transaction. Refuses to start when a file that has run was changed since.
 */
export async function migrate(url: string, directory: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url, application_name: "aerodb-migrate" });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [ADVISORY_LOCK]);
    await client.query(`create table if not exists migrations (
      name text primary key, sha256 text not null, ran_at timestamptz not null default now())`);
    const { rows } = await client.query<{ name: string; sha256: string }>(
      "select name, sha256 from migrations",
    );
    const ran = new Map(rows.map(({ name, sha256 }) => [name, sha256]));
    const fresh = readMigrations(directory).filter((migration) => isFresh(migration, ran));
    for (const migration of fresh) await runMigration(client, migration);
    return fresh.map(({ name }) => name);
  } finally {
    await client.end();
  }
}

interface Migration {
  readonly name: string;
  readonly text: string;
  readonly sha256: string;
}

function readMigrations(directory: string): Migration[] {
  const names = readdirSync(directory).filter((name) => /^\d{4}-[a-z0-9-]+\.sql$/.test(name));
  return names.sort().map((name) => {
    const text = readFileSync(join(directory, name), "utf8");
    return { name, text, sha256: createHash("sha256").update(text).digest("hex") };
  });
}

function isFresh(migration: Migration, ran: ReadonlyMap<string, string>): boolean {
  const sha256 = ran.get(migration.name);
  if (sha256 === undefined) return true;
  if (sha256 === migration.sha256) return false;
  throw new Error(
    `The migration ${migration.name} has run here and was changed since: write a new one instead.`,
  );
}

async function runMigration(client: pg.Client, migration: Migration): Promise<void> {
  await client.query("begin");
  await client.query(migration.text);
  await client.query("insert into migrations (name, sha256) values ($1, $2)", [
    migration.name,
    migration.sha256,
  ]);
  await client.query("commit");
}
