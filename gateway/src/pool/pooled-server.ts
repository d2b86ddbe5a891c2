/**
 * A connection to an instance that clients use in turn. It follows what was asked and what is still
 * to be answered, so that it knows when a client is done, and what of the answers is not for it.
 */
import type { Duplex } from "node:stream";
import {
  applySettings,
  type BackendKey,
  decodeReport,
  RESET_SESSION,
  ROLLBACK,
  type SessionSettings,
} from "@aerodb/postgres";
import { type FrameReader, Frames } from "../wire/frames.ts";
import { Line } from "../wire/line.ts";
import {
  CLIENT,
  CLOSE_NOTHING,
  encodeCloseStatement,
  encodeParse,
  encodeQuery,
  HEAD_BYTES,
  PARSE_NOTHING,
  SERVER,
  STATUS,
  SYNC,
  TERMINATE,
  textAt,
} from "../wire/messages.ts";
import type { ReadyServer } from "../wire/server-login.ts";
import {
  asideFrom,
  isFollowed,
  isReadUnder,
  type PutBack,
  readLocally,
} from "./client-settings.ts";
import type { Effects } from "./effects.ts";
import type { Holder } from "./holder.ts";
import {
  awaitsMore,
  hides,
  type Instead,
  noteAnswered,
  noteAsked,
  type Segment,
  segmentOf,
} from "./segment.ts";
import { bytesNeeded, LOOKS_AT, LOOKS_AT_ALL, NOTHING, READY } from "./server-messages.ts";
import { ServerSettings } from "./server-settings.ts";
import { ServerStatements } from "./server-statements.ts";
import { BELIED, CHANGES_SESSION, CHANGES_STATEMENTS, DROPS_STATEMENTS } from "./server-tags.ts";
import type { Statement } from "./statements.ts";

export class PooledServer implements FrameReader {
  readonly needs = bytesNeeded;
  readonly stream: Duplex;
  readonly key: BackendKey;
  holder: Holder | undefined;
  /** When nobody used it last, by the monotonic clock. */
  idleSinceMs = 0;
  /** The Parse without a name that it knows, whole; undefined: nobody knows what it has. */
  unnamed: Buffer | undefined;
  /** Cancels that are on their way: whoever comes next must not be hit. */
  cancels = 0;
  /** Called when it has nothing to do for anybody. */
  readonly #idle: (server: PooledServer) => void;
  readonly #frames = new Frames(this);
  readonly #segments = new Line<Segment>();
  readonly #statements = new ServerStatements();
  readonly settings = new ServerSettings();
  #open: Segment | undefined;
  #status: number = STATUS.idle;
  #sawReady = false;
  #failure: Buffer | undefined;
  /** Whether that was said to its holder, and whether it has ended without being asked anything. */
  #told = false;
  #ends = false;
  /** Whether something of a client's would stay. */
  #dirty = false;

  constructor(ready: ReadyServer, idle: (server: PooledServer) => void) {
    this.stream = ready.stream;
    this.key = ready.key;
    this.#idle = idle;
    this.#take(ready.greeting);
    this.#take(ready.reader.rest());
    this.stream.on("data", (chunk: Buffer) => this.#take(chunk));
    this.stream.on("error", () => undefined);
    this.stream.resume();
  }

  get mayChange(): Uint8Array {
    return this.#answering?.putsBack === undefined ? NOTHING : READY;
  }

  /** What is answered now. */
  get #answering(): Segment | undefined {
    return this.#segments.first ?? this.#open;
  }

  /** While what the pool itself has asked is answered, everything is looked at, to be dropped. */
  get looksAt(): Uint8Array {
    return this.#segments.first?.silent === true ? LOOKS_AT_ALL : LOOKS_AT;
  }

  /** The beginning of the error that it said, where that is the last of its answers. */
  get failure(): Buffer | undefined {
    return this.#failure;
  }

  /** Whether its holder has heard that. */
  get hasTold(): boolean {
    return this.#failure !== undefined && this.#told;
  }

  /** Whether all that was asked is answered and no transaction is open. */
  get resting(): boolean {
    return this.#status === STATUS.idle && this.answered;
  }

  /** Whether all that was asked is answered. */
  get answered(): boolean {
    return this.#segments.length === 0 && this.#open === undefined;
  }

  /** Whether it has nothing to do until its holder says more. */
  get awaitsHolder(): boolean {
    return awaitsMore(this.#segments.first, this.#open);
  }

  /** Whether it has something to answer, whatever else comes. */
  get isAsked(): boolean {
    return this.#segments.length > 0;
  }

  /** Whether what its holder has received ends with the end of a message. */
  get isBetweenMessages(): boolean {
    const half = this.#frames.takeBack();
    if (half !== undefined && half.length > 0) this.#frames.push(half);
    return half !== undefined;
  }

  /** Whether what is asked now begins with the message that is looked at. */
  get isAskedFirst(): boolean {
    const begins = this.#open === undefined || this.#open.messages <= 1;
    return begins && this.#segments.length === 0 && this.#status !== STATUS.failed;
  }

  knows(name: string): boolean {
    return this.#statements.has(name);
  }

  /** Takes over the settings of a client. Whatever is asked next is asked after that. */
  adopt(settings: SessionSettings, key: string): void {
    if (key !== this.settings.key) this.#silently(this.settings.change(settings, key));
  }

  /** Ends what its holder has begun, and becomes nobody's. False when that cannot be. */
  leave(): boolean {
    this.holder = undefined;
    this.stream.resume();
    if (!this.answered) return false;
    if (this.#ends) this.stream.destroy();
    if (this.#status !== STATUS.idle) this.#silently(ROLLBACK);
    const forgets = this.#statements.leave();
    if (forgets !== undefined) this.#silently(forgets);
    if (this.#dirty) {
      this.#silently(RESET_SESSION);
      this.settings.forget();
    }
    this.#dirty = false;
    if (this.resting) this.#idle(this);
    return true;
  }

  end(): void {
    this.stream.end(TERMINATE);
  }

  /** Something is asked that may do what no answer tells of. */
  note(effects: Effects): void {
    if (effects.leaves) this.#dirty = true;
    this.#statements.note(effects);
  }

  /** A `DEALLOCATE` in what is asked now is of a statement that the pool has made for that. */
  deallocatesOwn(): void {
    if (this.#open !== undefined) this.#open.harmless += 1;
  }

  /** What was asked last gives its client settings of its start again. */
  putsBack(puts: PutBack): void {
    const segment = this.#open ?? this.#segments.last;
    if (segment !== undefined) segment.putsBack = puts;
  }

  query(instead?: Instead): void {
    const segment = segmentOf("query");
    if (instead !== undefined) segment.instead = instead;
    this.#segments.push(segment);
    this.unnamed = undefined;
  }

  /** A message of the extended protocol. */
  extend(type: number): void {
    this.#open ??= segmentOf("extended");
    this.#open.messages += 1;
    noteAsked(this.#open, type);
  }

  /** The client has sent all that it copies in. */
  copied(): void {
    if (this.#answering !== undefined) this.#answering.copiesIn -= 1;
  }

  sync(): void {
    this.extend(CLIENT.sync);
    if (this.#open !== undefined) this.#segments.push(this.#open);
    this.#open = undefined;
  }

  /** A Parse or a Close of the client goes on as it came. */
  awaitParse(visible: boolean, failed: () => void = () => undefined): void {
    this.#open?.parses.push({ visible, failed });
  }
  awaitClose(visible: boolean, skipped: () => void = () => undefined): void {
    this.#open?.closes.push({ visible, skipped });
  }

  /** Has the server know a statement, and the client answered if it asked for it. */
  prepare(
    { name, body }: Pick<Statement, "name" | "body">,
    visible: boolean,
    failed: () => void = () => undefined,
  ): void {
    if (this.#statements.use(name)) {
      if (!visible) return;
      this.awaitClose(false);
      this.awaitParse(true, failed);
      this.stream.write(CLOSE_NOTHING);
      this.stream.write(PARSE_NOTHING);
      return;
    }
    const oldest = this.#statements.add(name);
    if (oldest !== undefined) {
      this.awaitClose(false, () => this.#statements.keep(oldest));
      this.stream.write(encodeCloseStatement(oldest));
    }
    this.awaitParse(visible, () => {
      this.#statements.delete(name);
      failed();
    });
    this.stream.write(encodeParse(name, body));
  }

  /** Has the server know statements, each as it was read, where nothing is asked yet. */
  prepareAsRead(statements: readonly Statement[]): void {
    for (const reading of new Set(statements.map((each) => each.reading))) {
      const alike = statements.filter((each) => each.reading === reading);
      const [first, last] = asideFrom(this.#status !== STATUS.idle);
      this.#silently(`${first}; ${readLocally(reading)} savepoint aerodb_one`);
      for (const { name, body } of alike) {
        const segment = { ...segmentOf("extended", true), mayFail: true };
        const failed = () => this.#statements.delete(name);
        const oldest = this.#statements.add(name, false);
        if (oldest !== undefined) {
          const skipped = () => this.#statements.keep(oldest);
          segment.closes.push({ visible: false, skipped });
          this.stream.write(encodeCloseStatement(oldest));
        }
        segment.parses.push({ visible: false, failed });
        this.#segments.push(segment);
        this.stream.write(Buffer.concat([encodeParse(name, body), SYNC]));
        this.#silently("rollback to savepoint aerodb_one");
      }
      this.#silently(last);
    }
  }

  frame(type: number, length: number, start: Buffer): number {
    const segment = this.#answering;
    let passes = segment?.silent !== true;
    if (segment !== undefined) noteAnswered(segment, type);
    switch (type) {
      case SERVER.parseComplete:
        passes = segment?.parses.shift()?.visible ?? true;
        break;
      case SERVER.closeComplete:
        passes = segment?.closes.shift()?.visible ?? true;
        break;
      case SERVER.commandComplete:
        if (hides(segment)) passes = false;
        else if (passes) this.#noteTag(start.toString("latin1", HEAD_BYTES), segment);
        break;
      case SERVER.parameterStatus:
        passes = this.#noteStatus(start, passes);
        break;
      case SERVER.copyIn:
        this.#ignoreSync();
        break;
      case SERVER.error:
        // It is nobody's answer where nothing is asked. That ends at its end.
        this.#ends ||= this.resting;
        if (this.#ends) passes = false;
        this.#told = passes;
        // What the pool asks for itself does not fail on a server that is well.
        if (passes) this.#noteError(start);
        else if (this.#ends && this.holder !== undefined) break;
        else if (segment?.mayFail !== true) this.stream.destroy();
        this.#failure = Buffer.from(start);
        break;
      case SERVER.ready:
        this.#noteReady(start[HEAD_BYTES] ?? STATUS.idle, passes);
        break;
    }
    return passes ? 0 : length;
  }

  pass(bytes: Buffer): void {
    this.holder?.receive(bytes);
  }

  #take(chunk: Buffer): void {
    this.#sawReady = false;
    try {
      this.#frames.push(chunk);
    } catch {
      // Not the protocol: nothing that follows can be understood.
      this.stream.destroy();
    }
    if (!this.#sawReady || this.#segments.length > 0 || this.stream.destroyed) return;
    if (!this.resting) this.holder?.paused();
    else if (this.holder === undefined) this.#idle(this);
    else this.holder.rested();
  }

  #silently(sql: string): void {
    this.#segments.push(segmentOf("query", true));
    this.unnamed = undefined;
    this.stream.write(encodeQuery(sql));
  }

  #noteReady(status: number, passes: boolean): void {
    const puts = this.#failure ? undefined : this.#answering?.putsBack;
    if (puts !== undefined) {
      this.holder?.putBack(puts.settings);
      this.#silently(applySettings(puts.settings, puts.local ? "transaction" : "session"));
    }
    const answered = { failed: this.#failure !== undefined, outside: status === STATUS.idle };
    if (passes) this.holder?.answered(answered);
    if (!this.stream.destroyed) this.#failure = undefined;
    this.#status = status;
    this.#sawReady = true;
    // What was not answered by now comes after an error, and never will be.
    const { parses = [], closes = [] } = this.#segments.shift() ?? {};
    for (const { failed } of parses) failed();
    for (const { skipped } of closes) skipped();
  }

  #noteTag(tag: string, segment: Segment | undefined): void {
    if (CHANGES_SESSION.test(tag)) this.#dirty = true;
    if (!CHANGES_STATEMENTS.test(tag) || segment?.instead !== undefined) return;
    if (segment !== undefined && segment.harmless > 0) segment.harmless -= 1;
    else this.#statements.note({ unsettles: false, hides: true });
    if (!DROPS_STATEMENTS.test(tag)) return;
    this.#statements.clear();
    this.unnamed = undefined;
    this.holder?.forgotten();
  }

  #noteError(start: Buffer): void {
    const code = decodeReport(start.subarray(HEAD_BYTES)).get("C");
    if (BELIED.has(code ?? "")) this.#statements.note({ unsettles: false, hides: true });
  }

  /** Returns whether the client hears of it. */
  #noteStatus(start: Buffer, ofClient: boolean): boolean {
    const name = textAt(start, HEAD_BYTES);
    const value = name && textAt(start, name.end);
    if (name === undefined || value === undefined) return ofClient;
    this.settings.report(name.text, value.text);
    if (!ofClient || this.holder === undefined || !isFollowed(name.text)) return ofClient;
    const key = name.text.toLowerCase();
    if (this.#answering?.putsBack?.settings.has(key)) return false;
    this.settings.set(key, value.text);
    // What was parsed in the same breath may have been read under either.
    if (isReadUnder(name.text)) this.#statements.note({ unsettles: true, hides: false });
    this.holder.changed(key, value.text);
    return true;
  }

  /** A server that copies in does not hear a Sync that came before: another will follow. */
  #ignoreSync(): void {
    if (this.#segments.first?.kind !== "extended" || this.#open !== undefined) return;
    this.#open = this.#segments.shift();
  }
}
