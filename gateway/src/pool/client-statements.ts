/**
 * What a client of the pooled port has prepared. Whichever server works for it has to know a
 * statement before it is used, by the name that all clients of the pool share.
 */

import type { SessionSettings } from "@aerodb/postgres";
import {
  CLIENT,
  CLOSE_NOTHING,
  encodeCloseStatement,
  encodeDescribeStatement,
  encodeParse,
  encodeQuery,
  HEAD_BYTES,
  PARSE_NOTHING,
  STATEMENT,
} from "../wire/messages.ts";
import { deallocatedIn, nameAt } from "./client-messages.ts";
import { putBackBy, type Reading, readingOf } from "./client-settings.ts";
import { effectsOf } from "./effects.ts";
import type { PooledServer } from "./pooled-server.ts";
import type { Statement, Statements } from "./statements.ts";

const CLOSE_UNNAMED = encodeCloseStatement("");
/** A statement without anything in it, and without types of parameters. */
const EMPTY_BODY = Buffer.alloc(3);

/** Of the statements of a client that were read otherwise, the last ones. */
const MOST_BROUGHT = 128;

export class ClientStatements {
  readonly #shared: Statements;
  readonly #byName = new Map<string, Statement>();
  /** The Parse without a name that came last, whole. */
  #unnamed: Buffer | undefined;
  /** The one that deallocates what was made for it to have something to deallocate. */
  #harmless: Buffer | undefined;

  /** The settings that the client asked for at its start. */
  readonly #asked: SessionSettings;
  /** What literals of the client are read under now. */
  #reading: Reading;
  /** Whether some of its statements were read under other settings than that. */
  #mixed = false;

  constructor(shared: Statements, settings: SessionSettings) {
    this.#shared = shared;
    this.#asked = settings;
    this.#reading = readingOf(settings);
  }

  /** The client has other settings. What it has prepared stays as it was read. */
  readUnder(settings: SessionSettings): void {
    this.#reading = readingOf(settings);
    this.#mixed = [...this.#byName.values()].some((each) => this.#isStrange(each));
  }

  /**
   * Has a server that is asked nothing know, as they were read, the statements that it would read
   * otherwise by now.
   */
  bring(server: PooledServer): void {
    if (!this.#mixed) return;
    const strange = [...this.#byName.values()].filter((each) => this.#isStrange(each));
    server.prepareAsRead(strange.filter(({ name }) => !server.knows(name)).slice(-MOST_BROUGHT));
  }

  /** The client has no statement any more. */
  forget(): void {
    this.#unnamed = undefined;
    for (const statement of this.#byName.values()) this.#shared.leave(statement);
    this.#byName.clear();
  }

  /**
   * Passes a message on, as the server understands it. Returns how many of its first bytes do not
   * go on as they came. One of which a name has no end goes on as it is: the server refuses it, and
   * its session goes on.
   */
  pass(server: PooledServer, type: number, length: number, start: Buffer): number {
    switch (type) {
      case CLIENT.query:
        return this.#query(server, length, start);
      case CLIENT.parse:
        return this.#parse(server, start);
      case CLIENT.bind:
        return this.#bind(server, length, start);
      case CLIENT.describe:
        return this.#describe(server, start);
      case CLIENT.close:
        return this.#close(server, start);
      default:
        return 0;
    }
  }

  /**
   * `DEALLOCATE` of a statement that the client has prepared by a message, as psycopg does: the
   * server may not know it, and others may use it there. It is answered as if it did.
   */
  #query(server: PooledServer, length: number, start: Buffer): number {
    const text = start.length === length ? deallocatedIn(start, HEAD_BYTES) : undefined;
    const statement = text === undefined ? undefined : this.#byName.get(text);
    this.#unnamed = undefined;
    if (text === undefined || statement === undefined) {
      server.query();
      this.#note(server, start.subarray(HEAD_BYTES), length - HEAD_BYTES);
      return 0;
    }
    const gone = this.#shared.nextName();
    server.query({ hides: 1, completed: () => this.#drop(text, statement) });
    server.stream.write(encodeQuery(`prepare ${gone} as select; deallocate ${gone}`));
    return length;
  }

  #parse(server: PooledServer, message: Buffer): number {
    const name = nameAt(message, HEAD_BYTES);
    if (name === undefined) return 0;
    if (name.text === "") return this.#parseUnnamed(server, message, name.end);
    const body = message.subarray(name.end);
    if (this.#byName.has(name.text)) {
      // Refused by the server, as it would be without us.
      server.awaitClose(false);
      server.awaitParse(false);
      server.awaitParse(true);
      server.stream.write(Buffer.concat([CLOSE_NOTHING, PARSE_NOTHING, PARSE_NOTHING]));
      return message.length;
    }
    const statement = this.#shared.take(body, this.#reading);
    this.#byName.set(name.text, statement);
    server.prepare(statement, true, () => this.#drop(name.text, statement));
    return message.length;
  }

  #parseUnnamed(server: PooledServer, message: Buffer, bodyAt: number): number {
    const text = deallocatedIn(message, bodyAt);
    const statement = text === undefined ? undefined : this.#byName.get(text);
    if (text !== undefined && statement !== undefined) {
      this.#drop(text, statement);
      const gone = this.#shared.nextName();
      server.prepare({ name: gone, body: EMPTY_BODY }, false);
      const body = Buffer.concat([Buffer.from(`deallocate ${gone}`), EMPTY_BODY]);
      this.#unnamed = encodeParse("", body);
      this.#harmless = this.#unnamed;
      server.stream.write(this.#unnamed);
    } else {
      this.#unnamed = Buffer.from(message);
    }
    const parsed = this.#unnamed;
    server.unnamed = parsed;
    server.awaitParse(true, () => {
      if (server.unnamed === parsed) server.unnamed = undefined;
      // Better none than one that came before.
      if (this.#unnamed === parsed) this.#unnamed = undefined;
    });
    return statement === undefined ? 0 : message.length;
  }

  #bind(server: PooledServer, length: number, start: Buffer): number {
    const portal = nameAt(start, HEAD_BYTES);
    const asked = portal && nameAt(start, portal.end);
    if (portal === undefined || asked === undefined) return 0;
    if (asked.text === "") {
      const unnamed = this.#unnamed;
      if (unnamed !== undefined) {
        this.#note(server, unnamed.subarray(HEAD_BYTES));
        if (unnamed === this.#harmless) server.deallocatesOwn();
      }
      this.#needUnnamed(server);
      return 0;
    }
    const used = this.#byName.get(asked.text);
    // What it leaves, it leaves each time.
    if (used !== undefined) this.#note(server, used.body, used.body.length, used.effects);
    const known = Buffer.from(`${this.#onServer(server, asked.text)}\0`);
    const head = Buffer.alloc(HEAD_BYTES);
    head[0] = CLIENT.bind;
    head.writeUInt32BE(length - 1 + known.length - (asked.end - portal.end), 1);
    server.stream.write(Buffer.concat([head, start.subarray(HEAD_BYTES, portal.end), known]));
    return asked.end;
  }

  #describe(server: PooledServer, message: Buffer): number {
    if (message[HEAD_BYTES] !== STATEMENT) return 0;
    const name = nameAt(message, HEAD_BYTES + 1);
    if (name === undefined) return 0;
    if (name.text === "") {
      this.#needUnnamed(server);
      return 0;
    }
    server.stream.write(encodeDescribeStatement(this.#onServer(server, name.text)));
    return message.length;
  }

  /** Servers keep what others may have prepared as well; the client is answered all the same. */
  #close(server: PooledServer, message: Buffer): number {
    const isOfStatement = message[HEAD_BYTES] === STATEMENT;
    const name = isOfStatement ? nameAt(message, HEAD_BYTES + 1) : undefined;
    if (name === undefined || name.text === "") {
      if (name !== undefined) this.#unnamed = undefined;
      server.awaitClose(true);
      return 0;
    }
    const statement = this.#byName.get(name.text);
    if (statement !== undefined) this.#drop(name.text, statement);
    server.awaitClose(true, () => this.#keep(name.text, statement));
    server.stream.write(CLOSE_NOTHING);
    return message.length;
  }

  /** What a server knows the client's statement by; a name that nothing has for one it has not. */
  #onServer(server: PooledServer, name: string): string {
    const statement = this.#byName.get(name);
    if (statement === undefined) return `?${name}`;
    if (this.#isStrange(statement) && !server.knows(statement.name)) {
      if (server.isAskedFirst) this.bring(server);
      // Better none than one that means something else.
      if (!server.knows(statement.name)) return `?${name}`;
    }
    server.prepare(statement, false);
    return statement.name;
  }

  #note(
    server: PooledServer,
    text: Buffer,
    length = text.length,
    // A byte of a head may look like a letter of the first word.
    effects = effectsOf(text, length),
  ): void {
    server.note(effects);
    if (!effects.resets) return;
    const puts = putBackBy(text.toString("latin1"), this.#asked);
    if (puts !== undefined) server.putsBack(puts);
  }

  #isStrange({ reading }: Statement): boolean {
    return reading.key !== this.#reading.key;
  }

  /** Has the server know what the client has without a name, and nothing where it has nothing. */
  #needUnnamed(server: PooledServer): void {
    const unnamed = this.#unnamed;
    if (unnamed === undefined) {
      // What others have parsed is not for it.
      server.awaitClose(false);
      server.stream.write(CLOSE_UNNAMED);
    } else if (server.unnamed !== unnamed) {
      server.awaitParse(false, () => {
        if (server.unnamed === unnamed) server.unnamed = undefined;
      });
      server.stream.write(unnamed);
    }
    server.unnamed = unnamed;
  }

  /** It was not closed after all. */
  #keep(name: string, statement: Statement | undefined): void {
    if (statement === undefined || this.#byName.has(name)) return;
    this.#byName.set(name, this.#shared.take(statement.body, statement.reading));
  }

  #drop(name: string, statement: Statement): void {
    if (this.#byName.get(name) !== statement) return;
    this.#byName.delete(name);
    this.#shared.leave(statement);
  }
}
