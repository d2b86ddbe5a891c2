/**
 * The catalogue's connection pool. 64-bit integers come as `bigint`, times as `Date`. Statements
 * are prepared once per connection, named by a hash of their text.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault, messageOf } from "@aerodb/model";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { type CopyTarget, type CopyValue, copyStatement, encodeCopy } from "./copy.ts";
import type { Statement } from "./sql.ts";

/** What can run a statement: the pool, or one transaction. */
export interface Db {
  query<Row>(statement: Statement): Promise<Row[]>;
}

export interface Transaction extends Db {
  /** Adds rows to a table by COPY: some thirty times as fast as one statement for each. */
  copy(target: CopyTarget, rows: readonly (readonly CopyValue[])[]): Promise<void>;
}

export interface Database extends Db {
  /** Runs statements in one transaction: all take effect, or none. Serialises nothing by itself. */
  transaction<Value>(work: (db: Transaction) => Promise<Value>): Promise<Value>;
  /** The pool itself, for a library that brings its own SQL. */
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

const INT8 = 20;
const types = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    if (oid === INT8) return BigInt;
    return pg.types.getTypeParser(oid, format as "text");
  },
} as pg.CustomTypesConfig;

/** Opens a pool on a catalogue. Connects lazily; a lost connection is replaced. */
export function openDatabase(options: {
  readonly url: string;
  readonly applicationName: string;
  readonly maxConnections: number;
}): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections,
    connectionTimeoutMillis: 10_000,
    statement_timeout: 30_000,
    types,
  });
  // An idle connection that breaks is dropped from the pool; whoever queries next gets a new one.
  pool.on("error", () => undefined);
  return {
    pool,
    query: (statement) => run(pool, statement),
    async transaction(work) {
      const client = await connect(pool);
      try {
        await client.query("begin");
        const value = await work({
          query: (statement) => run(client, statement),
          copy: (target, rows) => copy(client, target, encodeCopy(target, rows)),
        });
        await client.query("commit");
        client.release();
        return value;
      } catch (error) {
        const broken = await client.query("rollback").then(
          () => false,
          () => true,
        );
        client.release(broken);
        throw asFault(error);
      }
    },
    close: () => pool.end(),
  };
}

const names = new Map<string, string>();

/** Statement texts are literals of the program, so the map stays as small as the program. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = createHash("sha256").update(text).digest("hex").slice(0, 32);
    names.set(text, name);
  }
  return name;
}

async function run<Row>(runner: pg.Pool | pg.PoolClient, statement: Statement): Promise<Row[]> {
  try {
    const { text, values } = statement;
    const result = await runner.query({ name: nameOf(text), text, values: [...values] });
    return result.rows as Row[];
  } catch (error) {
    throw asFault(error);
  }
}

async function copy(client: pg.PoolClient, target: CopyTarget, rows: Buffer): Promise<void> {
  try {
    await pipeline(Readable.from([rows]), client.query(copyFrom(copyStatement(target))));
  } catch (error) {
    throw asFault(error);
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw asFault(error);
  }
}

/**
 * SQLSTATE classes of a catalogue that cannot answer now: lost connection, rolled back by a
 * deadlock, out of resources, ended or timed out by an operator, failing below SQL.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const CANNOT_ANSWER_NOW = ["08", "40", "53", "57", "58"];

/**
 * A catalogue that cannot be reached, or cannot answer now, is a fault; a statement it refuses is a
 * bug and stays as it is. Whatever the server did not say came from the connection: a system error
 * such as `EPIPE` looks like a SQLSTATE, so the class decides.
 */
export function asFault(error: unknown): unknown {
  if (error instanceof Fault) return error;
  if (error instanceof pg.DatabaseError && !CANNOT_ANSWER_NOW.includes(classOf(error))) {
    return error;
  }
  const message = `The catalogue does not answer: ${messageOf(error)}. Try again.`;
  return new Fault("UNAVAILABLE", message, { cause: error });
}

function classOf(error: pg.DatabaseError): string {
  return error.code?.slice(0, 2) ?? "";
}

/** Whether a statement was refused because a unique index of this name already holds the value. */
export function violates(error: unknown, constraint: string): boolean {
  const { code, constraint: violated } = error as { code?: unknown; constraint?: unknown };
  return code === "23505" && violated === constraint;
}
