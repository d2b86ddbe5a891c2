/** A client of the pooled port: it has a server while a transaction is open, and else none. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { encodeErrorResponse, type ServerReport, type SessionSettings } from "@aerodb/postgres";
import type { ConnectionTraffic } from "../wire/connection-traffic.ts";
import { type FrameReader, Frames } from "../wire/frames.ts";
import {
  CLIENT,
  CLOSE_NOTHING,
  encodeDescribeStatement,
  encodeParse,
  HEAD_BYTES,
  STATEMENT,
} from "../wire/messages.ts";
import { closeSoon, INSTANCE_LOST, type Relay } from "../wire/relay.ts";
import { UnnamedPortal } from "../wire/unnamed-portal.ts";
import {
  bytesNeeded,
  LOOKS_AT,
  leavesSomething,
  MAY_CHANGE,
  requireText,
} from "./client-messages.ts";
import { keyOf } from "./client-settings.ts";
import type { Pool, Waiting } from "./pool.ts";
import type { PooledServer } from "./pooled-server.ts";
import type { Statement } from "./statements.ts";

const PROTOCOL_VIOLATION: ServerReport = {
  severity: "FATAL",
  sqlState: "08P01",
  message: "invalid message on the pooled port",
};

export class PooledClient implements Relay, Waiting, FrameReader {
  readonly looksAt = LOOKS_AT;
  readonly mayChange = MAY_CHANGE;
  readonly ended: Promise<void>;
  settingsKey: string;
  readonly #stream: Socket;
  readonly #pool: Pool;
  readonly traffic: ConnectionTraffic;
  readonly #settings: Map<string, string>;
  readonly #frames = new Frames(this);
  readonly #statements = new Map<string, Statement>();
  #unnamed: Buffer | undefined;
  /** Of the server that it has. */
  #portal = new UnnamedPortal();
  #server: PooledServer | undefined;
  /** What came while it waits for a server. */
  #early: Buffer[] = [];
  #waits = false;
  #leaving = false;
  #farewell: ServerReport | undefined;

  constructor(
    stream: Socket,
    about: {
      readonly pool: Pool;
      readonly settings: SessionSettings;
      readonly traffic: ConnectionTraffic;
    },
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#stream = stream;
    this.#pool = about.pool;
    this.traffic = about.traffic;
    this.#settings = new Map(about.settings);
    this.settingsKey = keyOf(about.settings);
    stream.on("data", (chunk: Buffer) => {
      this.traffic.received(chunk.length);
      this.#take(chunk);
    });
    stream.on("end", () => this.#leave());
    stream.on("error", () => undefined);
    stream.on("close", () => {
      this.#leave();
      resolve();
    });
    stream.resume();
  }

  get parked(): boolean {
    return this.#waits && this.#pool.parked;
  }

  get idle(): boolean {
    return this.#server === undefined && !this.#waits && !this.#leaving;
  }

  get resting(): boolean {
    return this.idle;
  }

  /** The server that works for it at the moment. */
  get server(): PooledServer | undefined {
    return this.#server;
  }

  end(report: ServerReport): void {
    if (this.idle && this.#stream.writable) this.#stream.write(encodeErrorResponse(report));
    this.#leave();
  }

  endAtRest(report: ServerReport): void {
    this.#farewell = report;
    if (this.idle) this.end(report);
  }

  /** Bytes that came before this did. */
  unshift(bytes: Buffer): void {
    if (bytes.length > 0) this.#take(bytes);
  }

  granted(server: PooledServer): void {
    this.#waits = false;
    this.#begin(server);
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) this.#take(chunk);
    this.#stream.resume();
  }

  denied(report: ServerReport): void {
    this.#waits = false;
    this.#fail(report);
  }

  receive(bytes: Buffer): void {
    this.traffic.sent(bytes.length);
    const stream = this.#server?.stream;
    if (!this.#stream.write(bytes) && stream !== undefined) slow(stream, this.#stream);
  }

  rested(): void {
    const server = this.#server;
    if (server === undefined || !this.#frames.whole) return;
    this.traffic.transactionEnded();
    this.#server = undefined;
    server.leave();
    if (this.#leaving) this.#close();
    else if (this.#farewell !== undefined) this.end(this.#farewell);
  }

  answered(failed: boolean): void {
    this.#portal.answered(failed);
  }

  lost(): void {
    this.#server = undefined;
    this.#fail(INSTANCE_LOST);
  }

  changed(name: string, value: string): void {
    this.#settings.set(name, value);
    this.settingsKey = keyOf(this.#settings);
  }

  forgotten(): void {
    this.#unnamed = undefined;
    for (const statement of this.#statements.values()) this.#pool.statements.leave(statement);
    this.#statements.clear();
  }

  needs(type: number, length: number): number {
    return bytesNeeded(type, length);
  }

  frame(type: number, length: number, start: Buffer): number {
    const server = this.#server;
    if (server === undefined) throw new Error("bug: a message without a server");
    const instead = this.#portal.insteadOf(type, start);
    if (instead !== undefined) {
      server.extend();
      server.stream.write(instead);
      return length;
    }
    this.#portal.note(type, start);
    switch (type) {
      case CLIENT.terminate:
        this.#leaving = true;
        return length;
      case CLIENT.query:
        this.#noteText(start, length);
        server.query();
        return 0;
      case CLIENT.functionCall:
        server.query();
        return 0;
      case CLIENT.sync:
        server.sync();
        return 0;
      case CLIENT.execute:
      case CLIENT.flush:
        server.extend();
        return 0;
      case CLIENT.parse:
        server.extend();
        return this.#parse(server, start);
      case CLIENT.bind:
        server.extend();
        return this.#bind(server, length, start);
      case CLIENT.describe:
        server.extend();
        return this.#describe(server, start);
      case CLIENT.close:
        server.extend();
        return this.#closeOne(server, start);
      default:
        return 0;
    }
  }

  pass(bytes: Buffer): void {
    const stream = this.#server?.stream;
    if (stream !== undefined && !stream.write(bytes)) slow(this.#stream, stream);
  }

  #take(chunk: Buffer): void {
    if (this.#leaving) return;
    if (this.#waits) {
      this.#early.push(chunk);
      return;
    }
    if (this.#server === undefined) {
      // Only to say goodbye it needs nobody.
      if (chunk[0] === CLIENT.terminate && this.#frames.whole) {
        this.#leave();
        return;
      }
      const server = this.#pool.acquire(this);
      if (server !== undefined) this.#begin(server);
    }
    if (this.#server !== undefined) {
      this.#feed(chunk);
      return;
    }
    this.#waits = true;
    this.#early.push(chunk);
    this.#stream.pause();
  }

  #begin(server: PooledServer): void {
    this.#server = server;
    this.#portal = new UnnamedPortal();
    server.adopt(this.#settings, this.settingsKey);
  }

  #feed(chunk: Buffer): void {
    const server = this.#server;
    if (server === undefined) return;
    server.stream.cork();
    try {
      this.#frames.push(chunk);
    } catch {
      this.#fail(PROTOCOL_VIOLATION);
    }
    server.stream.uncork();
    // Only to flush, or to go, asks nothing.
    if (this.#server === server && server.resting) this.rested();
  }

  #noteText(start: Buffer, length: number): void {
    if (leavesSomething(start, length)) this.#server?.staysDirty();
  }

  /** Returns how much of the message does not go on. */
  #parse(server: PooledServer, message: Buffer): number {
    const name = requireText(message, HEAD_BYTES);
    if (name.text === "") {
      this.#unnamed = Buffer.from(message);
      server.unnamed = this.#unnamed;
      server.awaitParse(true);
      return 0;
    }
    const body = message.subarray(name.end);
    const held = this.#statements.get(name.text);
    if (held !== undefined) {
      // Refused by the server, as it would be without us.
      server.prepare(held, false);
      server.awaitParse(true);
      server.stream.write(encodeParse(held.name, body));
      return message.length;
    }
    const statement = this.#pool.statements.take(body);
    this.#statements.set(name.text, statement);
    server.prepare(statement, true, () => this.#drop(name.text, statement));
    return message.length;
  }

  #bind(server: PooledServer, length: number, start: Buffer): number {
    const portal = requireText(start, HEAD_BYTES);
    const asked = requireText(start, portal.end);
    if (asked.text === "") {
      if (this.#unnamed !== undefined) this.#noteText(this.#unnamed, this.#unnamed.length);
      this.#needUnnamed(server);
      return 0;
    }
    // What it leaves, it leaves each time.
    if (this.#statements.get(asked.text)?.leaves) server.staysDirty();
    const known = Buffer.from(`${this.#onServer(server, asked.text)}\0`);
    const head = Buffer.alloc(HEAD_BYTES);
    head[0] = CLIENT.bind;
    head.writeUInt32BE(length - 1 + known.length - (asked.end - portal.end), 1);
    server.stream.write(Buffer.concat([head, start.subarray(HEAD_BYTES, portal.end), known]));
    return asked.end;
  }

  #describe(server: PooledServer, message: Buffer): number {
    if (message[HEAD_BYTES] !== STATEMENT) return 0;
    const { text } = requireText(message, HEAD_BYTES + 1);
    if (text === "") {
      this.#needUnnamed(server);
      return 0;
    }
    server.stream.write(encodeDescribeStatement(this.#onServer(server, text)));
    return message.length;
  }

  /** Servers keep what others may have prepared as well; the client is answered all the same. */
  #closeOne(server: PooledServer, message: Buffer): number {
    server.awaitClose(true);
    if (message[HEAD_BYTES] !== STATEMENT) return 0;
    const { text } = requireText(message, HEAD_BYTES + 1);
    if (text === "") {
      this.#unnamed = undefined;
      return 0;
    }
    const statement = this.#statements.get(text);
    if (statement !== undefined) this.#drop(text, statement);
    server.stream.write(CLOSE_NOTHING);
    return message.length;
  }

  /** What a server knows the client's statement by; a name that nothing has for one it has not. */
  #onServer(server: PooledServer, name: string): string {
    const statement = this.#statements.get(name);
    if (statement === undefined) return `?${name}`;
    server.prepare(statement, false);
    return statement.name;
  }

  #needUnnamed(server: PooledServer): void {
    if (this.#unnamed === undefined || server.unnamed === this.#unnamed) return;
    server.unnamed = this.#unnamed;
    server.awaitParse(false);
    server.stream.write(this.#unnamed);
  }

  #drop(name: string, statement: Statement): void {
    if (this.#statements.get(name) !== statement) return;
    this.#statements.delete(name);
    this.#pool.statements.leave(statement);
  }

  #fail(report: ServerReport): void {
    if (this.#stream.writable) this.#stream.write(encodeErrorResponse(report));
    this.#leave();
  }

  /** Gives back what it holds, and closes. */
  #leave(): void {
    this.#leaving = true;
    if (this.#waits) this.#pool.forget(this);
    this.#waits = false;
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined && !server.leave()) this.#pool.abandon(server);
    this.forgotten();
    this.#close();
  }

  #close(): void {
    if (!this.#stream.destroyed) closeSoon(this.#stream);
  }
}

/** Lets one side wait until the other has drained. What is on its way comes all the same. */
function slow(from: Duplex, to: Duplex): void {
  if (from.isPaused()) return;
  from.pause();
  to.once("drain", () => from.resume());
}
