/** A client of the pooled port: it has a server while a transaction is open, and else none. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { encodeErrorResponse, type ServerReport, type SessionSettings } from "@aerodb/postgres";
import { ASKS } from "../wire/asked.ts";
import type { ConnectionTraffic } from "../wire/connection-traffic.ts";
import { type FrameReader, Frames } from "../wire/frames.ts";
import { JustAsked } from "../wire/just-asked.ts";
import { CLIENT, COPY_FAIL, READY_FOR_QUERY } from "../wire/messages.ts";
import {
  type ConnectionState,
  closeSoon,
  INSTANCE_LOST,
  type Relay,
  stateOf,
} from "../wire/relay.ts";
import { UnnamedPortal } from "../wire/unnamed-portal.ts";
import { bytesNeeded, CANCELLED, LOOKS_AT, MAY_CHANGE, reportOf } from "./client-messages.ts";
import { isReadUnder, keyOf, reportsOf, timesOf } from "./client-settings.ts";
import { ClientStatements } from "./client-statements.ts";
import { ANY_EFFECTS } from "./effects.ts";
import type { Answered } from "./holder.ts";
import type { Pool, Waiting } from "./pool.ts";
import type { PooledServer } from "./pooled-server.ts";
import { Unheard } from "./unheard.ts";

/** What Postgres gathers before it writes, and would find then that nobody hears it. */
const MOST_LOST_BYTES = 8_192;

export class PooledClient implements Relay, Waiting, FrameReader {
  readonly looksAt = LOOKS_AT;
  readonly mayChange = MAY_CHANGE;
  readonly ended: Promise<void>;
  settingsKey: string;
  readonly times: string;
  readonly #ended = Promise.withResolvers<void>();
  readonly #stream: Socket;
  readonly #pool: Pool;
  /** What it was told of settings at its start. */
  readonly #greeting: Buffer;
  readonly traffic: ConnectionTraffic;
  endedBecause: string | undefined;
  endedAs: ConnectionState | undefined;
  readonly #settings: Map<string, string>;
  /** What its server has said since it has closed. */
  #lostBytes = 0;
  readonly #frames = new Frames(this);
  readonly #statements: ClientStatements;
  /** Of the server that it has. */
  #portal = new UnnamedPortal();
  #server: PooledServer | undefined;
  readonly justAsked = new JustAsked();
  readonly #unheard = new Unheard();
  #waits = false;
  #leaving = false;
  /** Whether it has ended its side. */
  #asksNoMore = false;
  #farewell: ServerReport | undefined;

  constructor(
    stream: Socket,
    about: {
      readonly pool: Pool;
      readonly settings: SessionSettings;
      readonly greeting: Buffer;
      readonly traffic: ConnectionTraffic;
    },
  ) {
    this.ended = this.#ended.promise;
    this.#stream = stream;
    this.#pool = about.pool;
    this.#greeting = about.greeting;
    this.traffic = about.traffic;
    this.#statements = new ClientStatements(about.pool.statements, about.settings);
    this.#settings = new Map(about.settings);
    this.settingsKey = keyOf(about.settings);
    this.times = timesOf(about.settings);
    stream.on("data", (chunk: Buffer) => {
      this.traffic.received(chunk.length);
      this.#take(chunk);
    });
    stream.on("end", () => this.#hearEnd());
    stream.on("error", () => undefined);
    stream.on("close", () => this.#hearClose());
    stream.resume();
  }

  get parked(): boolean {
    return this.#waits && this.#pool.parked;
  }

  get idle(): boolean {
    if (this.#waits || this.#leaving) return false;
    return this.#server === undefined || (this.#server.answered && this.#frames.whole);
  }

  get resting(): boolean {
    return this.#server === undefined && this.idle;
  }

  get keepsServer(): boolean {
    const server = this.#server;
    // Whoever has said goodbye may still have answers to read, and not do it.
    if (server === undefined || this.#stream.writableNeedDrain) return server !== undefined;
    if (this.#leaving || this.#asksNoMore) return false;
    return server.awaitsHolder && !server.stream.writableNeedDrain;
  }

  /** The server that works for it at the moment. */
  get server(): PooledServer | undefined {
    return this.#server;
  }

  end(report: ServerReport): void {
    this.#fail(report);
  }

  endAtRest(report: ServerReport): void {
    this.#farewell = report;
    if (this.resting) this.end(report);
  }

  /** Bytes that came before this did. */
  unshift(bytes: Buffer): void {
    if (bytes.length > 0) this.#take(bytes);
  }

  granted(server: PooledServer): void {
    this.#waits = false;
    this.#begin(server);
    this.#stream.resume();
    if (this.#asksNoMore) this.#hearEnd();
  }

  /**
   * Its client cancels what it has asked: where that waits for a server, it is answered in place of
   * one. Returns the server that is to be told.
   */
  cancelled(): PooledServer | undefined {
    if (!this.#waits) return this.#server;
    this.#pool.forget(this);
    this.#waits = false;
    this.#unheard.startDropping();
    this.#stream.write(encodeErrorResponse(CANCELLED));
    this.#stream.resume();
    this.#ask();
    if (this.#asksNoMore) this.#hearEnd();
    return undefined;
  }

  denied(report: ServerReport): void {
    this.#noteEnd();
    this.#waits = false;
    this.#fail(report);
  }

  receive(bytes: Buffer): void {
    // It has closed behind what it asked.
    if (this.#stream.destroyed) {
      this.#lostBytes += bytes.length;
      if (this.#lostBytes > MOST_LOST_BYTES) this.#server?.stream.destroy();
      return;
    }
    this.traffic.sent(bytes.length);
    const stream = this.#server?.stream;
    if (!this.#stream.write(bytes) && stream !== undefined) slow(stream, this.#stream);
  }

  rested(): void {
    if (this.#asksNoMore) return;
    const server = this.#server;
    const half = this.#frames.takeBack();
    if (server === undefined || half === undefined) return;
    this.#server = undefined;
    this.#unheard.push(half);
    server.leave();
    if (this.#farewell !== undefined) this.end(this.#farewell);
  }

  paused(): void {
    if (this.#leaving) this.#leave();
  }

  answered({ failed, outside }: Answered): void {
    this.justAsked.answered();
    this.#portal.answered(failed);
    if (outside) this.traffic.transactionEnded();
  }

  lost(_failure: Buffer | undefined, isTold: boolean): void {
    this.#noteEnd();
    if (!isTold && !this.#asksNoMore) this.#tell(INSTANCE_LOST);
    this.#server = undefined;
    this.#leave();
  }

  changed(name: string, value: string): void {
    this.#settings.set(name, value);
    this.settingsKey = keyOf(this.#settings);
    if (isReadUnder(name)) this.#statements.readUnder(this.#settings);
  }

  putBack(settings: SessionSettings): void {
    for (const [name, value] of settings) this.#settings.set(name, value);
    this.settingsKey = keyOf(this.#settings);
    this.#statements.readUnder(this.#settings);
    this.#stream.write(reportsOf(this.#greeting, settings));
  }

  forgotten(): void {
    this.#statements.forget();
  }

  needs(type: number, length: number): number {
    return bytesNeeded(type, length);
  }

  frame(type: number, length: number, start: Buffer): number {
    const server = this.#server;
    if (server === undefined) throw new Error("bug: a message without a server");
    if (this.#leaving) return length;
    const instead = this.#portal.insteadOf(type, start);
    if (instead !== undefined) {
      server.extend(type);
      server.stream.write(instead);
      return length;
    }
    this.#portal.note(type, start);
    if (ASKS[type] === 1) this.justAsked.note();
    switch (type) {
      case CLIENT.terminate:
        this.#noteEnd();
        this.#leaving = true;
        if (server.isAsked) this.#askNoMore(server);
        return length;
      case CLIENT.functionCall:
        server.note(ANY_EFFECTS);
        server.query();
        break;
      case CLIENT.copyDone:
      case CLIENT.copyFail:
        server.copied();
        break;
      case CLIENT.sync:
        server.sync();
        break;
      case CLIENT.execute:
      case CLIENT.flush:
      case CLIENT.parse:
      case CLIENT.bind:
      case CLIENT.describe:
      case CLIENT.close:
        server.extend(type);
    }
    return this.#statements.pass(server, type, length, start);
  }

  pass(bytes: Buffer): void {
    if (this.#leaving) return;
    const stream = this.#server?.stream;
    if (stream !== undefined && !stream.write(bytes)) slow(this.#stream, stream);
  }

  #take(chunk: Buffer): void {
    if (this.#leaving) return;
    if (this.#server !== undefined) {
      this.#feed(chunk);
      return;
    }
    this.#unheard.push(chunk);
    if (!this.#waits) this.#ask();
  }

  /** Asks for a server when there is something to do for it. */
  #ask(): void {
    let asks = false;
    try {
      if (this.#unheard.dropping) {
        if (!this.#unheard.dropped()) return;
        this.#stream.write(READY_FOR_QUERY);
        this.traffic.transactionEnded();
      }
      asks = this.#unheard.asks;
    } catch (error) {
      this.#fail(reportOf(error));
    }
    if (!asks) return;
    if (this.#unheard.saysGoodbye) {
      this.#leave();
      return;
    }
    const server = this.#pool.acquire(this);
    if (server !== undefined) {
      this.#begin(server);
      return;
    }
    this.#waits = true;
    this.#stream.pause();
  }

  #begin(server: PooledServer): void {
    this.#server = server;
    this.#portal = new UnnamedPortal();
    server.adopt(this.#settings, this.settingsKey);
    this.#statements.bring(server);
    for (const chunk of this.#unheard.take()) this.#take(chunk);
  }

  #feed(chunk: Buffer): void {
    const server = this.#server;
    if (server === undefined) return;
    server.stream.cork();
    try {
      this.#frames.push(chunk);
    } catch (error) {
      this.#fail(reportOf(error));
    }
    server.stream.uncork();
    if (this.#server !== server) return;
    if (this.#leaving && !server.isAsked) this.#leave();
    // Only to flush asks nothing.
    else if (server.resting) this.rested();
  }

  /** In the midst of an answer it would read a report as a part of that. */
  #tell(report: ServerReport): void {
    if (!this.#stream.writable || this.#server?.isBetweenMessages === false) return;
    this.#stream.write(encodeErrorResponse(report));
  }

  #fail(report: ServerReport): void {
    this.endedBecause = report.message;
    this.#tell(report);
    this.#leave();
  }

  #noteEnd(): void {
    this.endedAs ??= stateOf(this);
  }

  /** Gives back what it holds, and closes. */
  #leave(): void {
    this.#noteEnd();
    this.#leaving = true;
    if (this.#waits) this.#pool.forget(this);
    this.#waits = false;
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined && (this.#asksNoMore || !server.leave())) {
      this.#pool.abandon(server);
    }
    this.forgotten();
    if (this.#stream.closed) this.#ended.resolve();
    if (!this.#stream.destroyed) closeSoon(this.#stream);
  }

  /**
   * It asks nothing more, and is served what it has asked, as by a server of its own: that one
   * hears the end too, and ends once it has answered, however much that is.
   */
  #hearEnd(): void {
    this.#noteEnd();
    if (this.#waits) {
      this.#asksNoMore = true;
      return;
    }
    const server = this.#server;
    if (server !== undefined && this.#leaving) return;
    if (server === undefined || !server.isAsked || this.#frames.takeBack() === undefined) {
      this.#asksNoMore = false;
      this.#leave();
      return;
    }
    this.#askNoMore(server);
  }

  #askNoMore(server: PooledServer): void {
    this.#asksNoMore = true;
    // One that copies in waits for what does not come. Any other one overhears it.
    server.stream.write(COPY_FAIL);
    server.end();
  }

  #hearClose(): void {
    const server = this.#server;
    if (!this.#asksNoMore || server === undefined || !server.isAsked) this.#leave();
    // Nobody is slow any more.
    else server.stream.resume();
  }
}

/** Lets one side wait until the other has drained. What is on its way comes all the same. */
function slow(from: Duplex, to: Duplex): void {
  if (from.isPaused()) return;
  from.pause();
  to.once("drain", () => from.resume());
}
