import type { DatabaseSync, StatementSync } from "node:sqlite";
import { openDatabase } from "./ledger.ts";

/** A message that waits until it is acknowledged. */
export interface SpooledMessage {
  readonly sequence: bigint;
  readonly body: Uint8Array;
}

/** What becomes of messages when nobody fetches them for long. */
export interface SpoolBound {
  /** How many are kept at most. */
  readonly most: number;
  /**
   * Makes fewer messages of some that were never sent, oldest first. Each that it returns stands
   * for others under the number of one of them.
   */
  readonly condense: (messages: readonly SpooledMessage[]) => readonly SpooledMessage[];
}

export interface SpoolOptions {
  /** Number of the first message of a spool that is new. 1 when left out. */
  readonly firstSequence?: bigint;
  readonly bound?: SpoolBound;
}

/** Condensing takes one of so many parts at a time, so that nothing else waits for it. */
const PARTS = 8;

/**
 * Numbered messages on disk that wait until they are acknowledged. Numbers grow by one and are
 * never used twice, whatever happens in between.
 */
export class Spool {
  readonly #database: DatabaseSync;
  readonly #bound: SpoolBound | undefined;
  readonly #insert: StatementSync;
  readonly #read: StatementSync;
  readonly #drop: StatementSync;
  readonly #mark: StatementSync;
  #sent: bigint;
  /** Where condensing goes on. */
  #condensed = 0n;
  #size: number;

  constructor(path: string, options: SpoolOptions = {}) {
    this.#bound = options.bound;
    this.#database = openDatabase(path);
    this.#database.exec(`create table if not exists messages (
      sequence integer primary key autoincrement, body blob not null);
      create table if not exists sent (
        one integer primary key check (one = 1), sequence integer not null);
      insert or ignore into sent values (1, 0)`);
    this.#begin(options.firstSequence ?? 1n);
    this.#insert = this.#database.prepare("insert into messages (body) values (?)");
    this.#insert.setReadBigInts(true);
    this.#read = this.#database.prepare(
      "select sequence, body from messages where sequence > ? order by sequence limit ?",
    );
    this.#read.setReadBigInts(true);
    this.#drop = this.#database.prepare("delete from messages where sequence <= ?");
    this.#mark = this.#database.prepare("update sent set sequence = ?");
    this.#sent = this.#number("select sequence as number from sent");
    this.#size = this.#count();
  }

  /** How many messages wait. */
  get size(): number {
    return this.#size;
  }

  /** Keeps messages, all or none. */
  append(bodies: readonly Uint8Array[]): void {
    this.#database.exec("begin immediate");
    for (const body of bodies) this.#insert.run(body);
    this.#database.exec("commit");
    this.#size += bodies.length;
    if (this.#bound !== undefined && this.#size > this.#bound.most) this.#shrink(this.#bound);
  }

  /** The oldest messages after a number, at most `limit`. */
  after(sequence: bigint, limit: number): SpooledMessage[] {
    return this.#read.all(sequence, limit) as unknown as SpooledMessage[];
  }

  /**
   * Notes that messages up to a number are about to be sent. Whether they arrive may never be
   * known, so from then on they are sent again as they are and condensed no more.
   */
  markSent(sequence: bigint): void {
    if (sequence <= this.#sent) return;
    this.#mark.run(sequence);
    this.#sent = sequence;
  }

  /** Drops every message up to a number. */
  acknowledge(sequence: bigint): void {
    this.#drop.run(sequence);
    this.#size = this.#count();
  }

  close(): void {
    this.#database.close();
  }

  #begin(first: bigint): void {
    const known = this.#number("select count(*) as number from sqlite_sequence");
    if (known > 0n || first <= 1n) return;
    this.#database
      .prepare("insert into sqlite_sequence (name, seq) values ('messages', ?)")
      .run(first - 1n);
  }

  /**
   * Condenses a part of what was never sent, the next time the part behind it, so that all of it
   * gets coarser alike. What is too much even then is dropped.
   */
  #shrink(bound: SpoolBound): void {
    const part = Math.max(2, Math.ceil(bound.most / PARTS));
    let older = this.after(this.#condensed > this.#sent ? this.#condensed : this.#sent, part);
    if (older.length < part) older = this.after(this.#sent, part);
    let condensed = bound.condense(older);
    if (condensed.length === older.length) {
      // Nothing in it belongs together: perhaps in the whole.
      older = this.after(this.#sent, bound.most);
      condensed = bound.condense(older);
    }
    this.#condensed = older.at(-1)?.sequence ?? 0n;
    this.#replace(older, condensed, bound.most);
  }

  #replace(
    older: readonly SpooledMessage[],
    condensed: readonly SpooledMessage[],
    most: number,
  ): void {
    const kept = new Map(condensed.map((message) => [message.sequence, message] as const));
    const replace = this.#database.prepare("update messages set body = ? where sequence = ?");
    const remove = this.#database.prepare("delete from messages where sequence = ?");
    this.#database.exec("begin immediate");
    for (const { sequence, body } of older) {
      const standIn = kept.get(sequence);
      if (standIn === undefined) remove.run(sequence);
      else if (standIn.body !== body) replace.run(standIn.body, sequence);
    }
    this.#database
      .prepare(
        `delete from messages where sequence <= (
           select sequence from messages order by sequence desc limit 1 offset ?)`,
      )
      .run(most);
    this.#database.exec("commit");
    this.#size = this.#count();
  }

  #count(): number {
    return Number(this.#number("select count(*) as number from messages"));
  }

  #number(statement: string): bigint {
    const read = this.#database.prepare(statement);
    read.setReadBigInts(true);
    return (read.get() as { number: bigint }).number;
  }
}
