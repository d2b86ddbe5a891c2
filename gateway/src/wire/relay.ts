/** Bytes both ways until one side is gone. A side that is slow slows the other. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { encodeErrorResponse, type ServerReport } from "@aerodb/postgres";
import { after } from "@aerodb/runtime";
import { Asked } from "./asked.ts";
import type { ConnectionTraffic } from "./connection-traffic.ts";
import { type FrameReader, Frames, onlyTypes } from "./frames.ts";
import { HEAD_BYTES, SERVER } from "./messages.ts";
import type { Peer } from "./peer.ts";

/** A session that is past authentication. */
export interface Relay {
  /** Resolves once both sides are closed. */
  readonly ended: Promise<void>;
  /** Whether all that the client asked is answered: then a message may be put in. */
  readonly idle: boolean;
  /** Whether it is idle with a server at hand, outside of a transaction. */
  readonly resting: boolean;
  /**
   * Whether a server that others would have their turn with waits for the client: to say more in a
   * transaction or a COPY, or to read.
   */
  readonly keepsServer: boolean;
  /** Whether it waits for its instance to be back. */
  readonly parked: boolean;
  readonly traffic: ConnectionTraffic;
  /** Why the gateway has ended it; undefined when it has not. */
  readonly endedBecause: string | undefined;
  /** What it did at the first sign of its end, which may be long before that; undefined until. */
  readonly endedAs: ConnectionState | undefined;
  /** Ends the session, with a reason when the client is at a point where it can read one. */
  end(report: ServerReport): void;
  /** Ends it with a reason at the first moment at which no transaction is open. */
  endAtRest(report: ServerReport): void;
}

export type ConnectionState = "idle" | "in transaction" | "active" | "parked";

export function stateOf({
  parked,
  idle,
  resting,
}: Pick<Relay, "parked" | "idle" | "resting">): ConnectionState {
  if (parked) return "parked";
  if (!idle) return "active";
  return resting ? "idle" : "in transaction";
}

/** How long a client that does not read is waited for once the server is gone. */
const LAST_BYTES_MS = 10_000;
/** How long one is heard that was told goodbye: bytes left unread would break the connection. */
const LAST_WORDS_MS = 500;
const READY_BYTES = 6;
const OUTSIDE_OF_TRANSACTION = 0x49;
const LOOKS_AT = onlyTypes([SERVER.ready, SERVER.copyIn, SERVER.error]);
const NOTHING = onlyTypes([]);

export const INSTANCE_LOST: ServerReport = {
  severity: "FATAL",
  sqlState: "57P01",
  message: "the tenant's instance ended the connection: connect again",
};

const NO_SUCH_LENGTH: ServerReport = {
  severity: "FATAL",
  sqlState: "08P01",
  message: "invalid message length: the client does not speak the protocol",
};

/** A client with a connection of its own to its server, which may be taken away between two. */
export class DirectRelay implements Relay, FrameReader {
  readonly looksAt = LOOKS_AT;
  readonly mayChange = NOTHING;
  /** Its server is nobody else's. */
  readonly keepsServer = false;
  readonly ended: Promise<void>;
  readonly traffic: ConnectionTraffic;
  readonly asked: Asked;
  endedBecause: string | undefined;
  endedAs: ConnectionState | undefined;
  readonly #ended = Promise.withResolvers<void>();
  readonly #client: Socket;
  readonly #questions: Frames;
  #server: Duplex | undefined;
  #answers = new Frames(this);
  #forgetServer: () => void = () => undefined;
  /** The session begins where the server has said ReadyForQuery. */
  #outside = true;
  #failed = false;
  /** Whether the client was told to wait, or waits for the server to read. */
  #clientWaits = false;
  #serverWaits = false;
  #clientLeft = false;
  #taking: ((server: Duplex) => void) | undefined;
  #farewell: ServerReport | undefined;
  /** What is done about the next question, and whether the one after it waits for that. */
  #aboutNext: (() => Promise<void>) | undefined;
  #holdsBack = false;

  constructor(client: Socket, traffic: ConnectionTraffic) {
    this.#client = client;
    this.traffic = traffic;
    this.ended = this.#ended.promise;
    this.asked = new Asked({
      pass: (bytes) => this.#toServer(bytes),
      goodbye: () => this.#noteEnd(),
    });
    this.#questions = new Frames(this.asked);
    void this.ended.then(() => traffic.closed());
    client.on("data", (chunk: Buffer) => this.receive(chunk));
    client.on("end", () => {
      this.#noteEnd();
      this.#clientLeft = true;
      this.#server?.end();
      if (this.#server === undefined) closeSoon(client);
    });
    client.on("close", () => {
      this.#noteEnd();
      this.#server?.destroy();
      if (this.#server === undefined || this.#server.closed) this.#ended.resolve();
    });
    // Whatever goes wrong closes the stream, which is what is acted on.
    client.on("error", () => undefined);
  }

  get idle(): boolean {
    return this.#server === undefined || this.#atRest;
  }

  get resting(): boolean {
    return this.#server !== undefined && this.#atRest && this.#outside && !this.#clientLeft;
  }

  get parked(): boolean {
    return this.#server === undefined;
  }

  /** Whether the client has said something that nobody has read yet. */
  get unread(): boolean {
    return this.#client.readableLength > 0;
  }

  /** Nothing is on its way, and no message has begun. */
  get #atRest(): boolean {
    return this.asked.allAnswered && this.#questions.whole && this.#answers.whole;
  }

  /** Begins to relay to a server that waits for a query, or goes on with another one. */
  attach({ stream: server, reader }: Peer): void {
    if (this.#client.destroyed || this.#clientLeft) {
      server.destroy();
      return;
    }
    this.#server = server;
    this.#clientWaits = false;
    this.#answers = new Frames(this);
    const heard = (chunk: Buffer) => this.#hear(chunk);
    const left = () => {
      this.#noteEnd();
      server.end();
    };
    const closed = () => this.#serverClosed();
    // A server that has ended its side listens no longer: nothing is left but to close.
    server.on("data", heard).on("end", left).on("close", closed);
    server.on("error", () => undefined);
    this.#forgetServer = () => server.off("data", heard).off("end", left).off("close", closed);
    const early = reader.rest();
    if (early.length > 0) this.#hear(early);
    server.resume();
    this.#resumeClient();
  }

  /**
   * Resolves at the end of a transaction with the server, which is the caller's from then on. The
   * client waits until there is another. Rejects with the signal's reason, and then all stays.
   */
  take(signal: AbortSignal): Promise<Duplex> {
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    signal.throwIfAborted();
    const abort = () => {
      this.#taking = undefined;
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#taking = (server) => {
      signal.removeEventListener("abort", abort);
      resolve(server);
    };
    this.#giveServer();
    return promise;
  }

  /** Has something done once the server has the next question, before it gets another one. */
  aboutNextQuestion(act: () => Promise<void>): void {
    this.#aboutNext = act;
  }

  /** Bytes of the client. */
  receive(chunk: Buffer): void {
    this.traffic.received(chunk.length);
    try {
      this.#questions.push(chunk);
    } catch {
      // What follows cannot be told apart any more. Within a message no other can be said.
      this.endedBecause = NO_SUCH_LENGTH.message;
      if (this.#answers.whole) this.#writeReport(NO_SUCH_LENGTH);
      this.#leave();
    }
    if (this.#aboutNext !== undefined) this.#actOnQuestion(this.#aboutNext);
  }

  /** Bytes that the server says on its own, for the client. */
  pass(bytes: Buffer): void {
    if (!this.#client.writable || this.#client.write(bytes) || this.#serverWaits) return;
    const server = this.#server;
    server?.pause();
    this.#serverWaits = true;
    this.#client.once("drain", () => {
      this.#serverWaits = false;
      if (server === this.#server) server?.resume();
    });
  }

  end(report: ServerReport): void {
    this.endedBecause = report.message;
    // In the midst of a message it would be read as a part of that.
    if (this.#answers.whole) this.#writeReport(report);
    this.#leave();
  }

  endAtRest(report: ServerReport): void {
    this.#farewell = report;
    this.#leaveAtRest();
  }

  needs(type: number, length: number): number {
    return type === SERVER.ready ? Math.min(length, READY_BYTES) : HEAD_BYTES;
  }

  frame(type: number, _length: number, start: Buffer): number {
    switch (type) {
      case SERVER.ready:
        this.asked.ready(this.#failed);
        this.#failed = false;
        this.#outside = start[HEAD_BYTES] === OUTSIDE_OF_TRANSACTION;
        if (this.#outside) this.traffic.transactionEnded();
        break;
      case SERVER.copyIn:
        this.asked.copyIn();
        break;
      case SERVER.error:
        this.#failed = true;
        this.asked.failed();
        break;
    }
    return 0;
  }

  #hear(chunk: Buffer): void {
    this.traffic.sent(chunk.length);
    try {
      this.#answers.push(chunk);
    } catch {
      // Not the protocol: nothing that follows can be understood.
      this.#server?.destroy();
    }
    if (this.#taking !== undefined) this.#giveServer();
    if (this.#farewell !== undefined) this.#leaveAtRest();
  }

  #leaveAtRest(): void {
    const report = this.#farewell;
    if (report !== undefined && (this.resting || this.parked)) this.end(report);
  }

  #giveServer(): void {
    const server = this.#server;
    const taking = this.#taking;
    if (server === undefined || server.destroyed || taking === undefined) return;
    if (!this.#atRest || !this.#outside || this.#clientLeft) return;
    this.#taking = undefined;
    this.#client.pause();
    this.#forgetServer();
    server.pause();
    this.#server = undefined;
    taking(server);
  }

  #toServer(bytes: Buffer): void {
    const server = this.#server;
    if (server === undefined || !server.writable || server.write(bytes)) return;
    this.#client.pause();
    if (this.#clientWaits) return;
    this.#clientWaits = true;
    server.once("drain", () => {
      this.#clientWaits = false;
      if (server === this.#server) this.#resumeClient();
    });
  }

  #noteEnd(): void {
    this.endedAs ??= stateOf(this);
  }

  #leave(): void {
    this.#noteEnd();
    this.#clientLeft = true;
    const server = this.#server;
    if (server === undefined) closeSoon(this.#client);
    else server.destroy();
  }

  #resumeClient(): void {
    const waits = this.#server === undefined || this.#clientWaits || this.#holdsBack;
    if (!waits) this.#client.resume();
  }

  #actOnQuestion(act: () => Promise<void>): void {
    if (this.asked.allAnswered || !this.#questions.whole) return;
    this.#aboutNext = undefined;
    this.#holdsBack = true;
    this.#client.pause();
    void act().finally(() => {
      this.#holdsBack = false;
      this.#resumeClient();
    });
  }

  #serverClosed(): void {
    this.#noteEnd();
    // A server that has said why has said enough.
    if (this.#atRest && !this.#clientLeft && !this.#failed) this.#writeReport(INSTANCE_LOST);
    closeSoon(this.#client);
    if (this.#client.closed) this.#ended.resolve();
  }

  #writeReport(report: ServerReport): void {
    if (this.#client.writable) this.#client.write(encodeErrorResponse(report));
  }
}

/**
 * Lets a client have what is on its way, for a while, and closes. What it says meanwhile is read:
 * closed with something unread, a connection is broken, and the client may not see the reason.
 */
export function closeSoon(client: Socket): void {
  if (!client.writableEnded) {
    const cancel = after(LAST_BYTES_MS, () => client.destroy());
    client.once("close", cancel);
  }
  if (client.readableEnded) {
    client.destroySoon();
    return;
  }
  if (client.writableEnded) return;
  client.end(() => {
    const cancel = after(LAST_WORDS_MS, () => client.destroy());
    client.once("end", () => client.destroy()).once("close", cancel);
  });
  client.resume();
}
