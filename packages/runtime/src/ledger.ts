/**
 * What a process was last told, on disk, so that it can go on without whoever told it. Entries
 * carry the generation in which they last changed; so does the ledger as a whole. An older
 * generation and the same generation with other contents are refused; a repeat is accepted and
 * changes nothing.
 */
import { chmodSync, closeSync, existsSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Fault } from "@aerodb/model";

const IN_MEMORY = ":memory:";
const PRIVATE = 0o600;

/** One thing that was told: its kind and id, when it last changed, and its encoded contents. */
export interface LedgerEntry {
  readonly kind: string;
  readonly id: string;
  readonly generation: bigint;
  readonly body: Uint8Array;
}

export class Ledger {
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #setGeneration: StatementSync;
  #generation: bigint;

  /** Opens the ledger at a path, or makes an empty one of generation 0. */
  constructor(path: string) {
    this.#database = openDatabase(path);
    this.#database.exec(`
      create table if not exists entries (
        kind text not null, id text not null, generation integer not null, body blob not null,
        primary key (kind, id)) without rowid;
      create table if not exists header (
        one integer primary key check (one = 1), generation integer not null);
      insert or ignore into header values (1, 0);`);
    this.#find = this.#database.prepare(
      "select generation, body from entries where kind = ? and id = ?",
    );
    this.#find.setReadBigInts(true);
    this.#put = this.#database.prepare("insert or replace into entries values (?, ?, ?, ?)");
    this.#remove = this.#database.prepare("delete from entries where kind = ? and id = ?");
    this.#setGeneration = this.#database.prepare("update header set generation = ?");
    const read = this.#database.prepare("select generation from header");
    read.setReadBigInts(true);
    this.#generation = BigInt((read.get() as { generation: bigint }).generation);
  }

  /** Newest generation taken in. */
  get generation(): bigint {
    return this.#generation;
  }

  /** Every entry, in no particular order. */
  entries(): LedgerEntry[] {
    const read = this.#database.prepare("select kind, id, generation, body from entries");
    read.setReadBigInts(true);
    return read.all() as unknown as LedgerEntry[];
  }

  /**
   * Takes in everything there is at a generation. Returns the entries that it does not list: they
   * stay until `forget` is called, for being unlisted is no order to destroy anything.
   */
  takeWhole(generation: bigint, entries: readonly LedgerEntry[]): LedgerEntry[] {
    this.#refuseOlder(generation);
    this.#take(generation, entries);
    const listed = new Set(entries.map(({ kind, id }) => `${kind} ${id}`));
    return this.entries().filter(({ kind, id }) => !listed.has(`${kind} ${id}`));
  }

  /**
   * Takes in what changed after `base`. Throws SUPERSEDED when the ledger holds another generation.
   */
  takeChange(base: bigint, generation: bigint, entries: readonly LedgerEntry[]): void {
    this.#refuseOlder(generation);
    if (base > this.#generation) {
      throw new Fault(
        "SUPERSEDED",
        `A change from generation ${base} came while the ledger holds ${this.#generation}.`,
      );
    }
    this.#take(generation, entries);
  }

  /** Puts an entry of the process's own, which nobody told it. On disk when it returns. */
  note({ kind, id, generation, body }: LedgerEntry): void {
    this.#put.run(kind, id, generation, body);
  }

  /** Drops an entry. Repeating it has no further effect. */
  forget(kind: string, id: string): void {
    this.#remove.run(kind, id);
  }

  close(): void {
    this.#database.close();
  }

  #refuseOlder(generation: bigint): void {
    if (generation >= this.#generation) return;
    throw new Fault(
      "SUPERSEDED",
      `Generation ${generation} is older than ${this.#generation}, which the ledger holds.`,
    );
  }

  #take(generation: bigint, entries: readonly LedgerEntry[]): void {
    this.#database.exec("begin immediate");
    try {
      for (const entry of entries) this.#takeEntry(entry);
      this.#setGeneration.run(generation);
      this.#database.exec("commit");
    } catch (error) {
      this.#database.exec("rollback");
      throw error;
    }
    this.#generation = generation;
  }

  #takeEntry(entry: LedgerEntry): void {
    const held = this.#find.get(entry.kind, entry.id) as
      | { generation: bigint; body: Uint8Array }
      | undefined;
    if (held !== undefined && held.generation >= entry.generation) {
      if (held.generation === entry.generation && Buffer.compare(held.body, entry.body) === 0)
        return;
      const other = held.generation === entry.generation ? "with other contents" : "as older";
      throw new Fault(
        "SUPERSEDED",
        `${entry.kind} ${entry.id} came ${other} than generation ${held.generation} in the ledger.`,
      );
    }
    this.#put.run(entry.kind, entry.id, entry.generation, entry.body);
  }
}

/**
 * A SQLite file that survives kill -9 at any point and a power failure up to the last commit. It is
 * its user's alone, for it holds what lets tenants log in; what is removed is overwritten in it.
 */
export function openDatabase(path: string): DatabaseSync {
  if (path !== IN_MEMORY) makePrivate(path);
  const database = new DatabaseSync(path);
  database.exec(`
    pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000;
    pragma secure_delete = on`);
  return database;
}

/** SQLite gives the files that it makes beside a database the mode of that. */
function makePrivate(path: string): void {
  closeSync(openSync(path, "a", PRIVATE));
  for (const each of [path, `${path}-wal`, `${path}-shm`]) {
    if (existsSync(each)) chmodSync(each, PRIVATE);
  }
}
