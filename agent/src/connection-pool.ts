import { Fault } from "@aerodb/model";
import { connectPlatform } from "@aerodb/postgres";
import { after, within } from "@aerodb/runtime";

/** A session of the platform inside an instance. */
export type Session = Awaited<ReturnType<typeof connectPlatform>>;

export interface PoolOptions {
  readonly socketDirectory: string;
  readonly password: string;
  /** Sessions at once. */
  readonly width: number;
  /** How many sessions are kept open while nothing is to do. */
  readonly keep: () => number;
  /** Done with each session before it is used. */
  readonly prepare?: (session: Session) => Promise<void>;
}

/** How long a session that is not kept stays open, in case it is needed again. */
const IDLE_MS = 5_000;
const WAIT_MS = 30_000;

interface Waiting {
  resolve(session: Session): void;
  reject(reason: Fault): void;
}

/**
 * A few open sessions of one instance. `pg.Pool` would do, but for two things: sessions are opened
 * with the platform's pins, and a statement waits for a session that is free rather than for a new
 * one.
 */
export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #idle: Session[] = [];
  readonly #waiting: Waiting[] = [];
  readonly #open = new Set<Session>();
  #opening = 0;
  #closed = false;
  #cancelTrim: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Runs work on a session of its own. A session on which something failed is not used again. */
  async use<Value>(work: (session: Session) => Promise<Value>): Promise<Value> {
    const session = await this.#takeInTime();
    try {
      const value = await work(session);
      this.#give(session);
      return value;
    } catch (error) {
      this.#drop(session);
      throw error;
    }
  }

  /** Ends all sessions. Whoever waits is refused. */
  close(): void {
    this.#closed = true;
    this.#cancelTrim?.();
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closed());
    for (const session of this.#open) this.#end(session);
    this.#idle.length = 0;
  }

  async #takeInTime(): Promise<Session> {
    const taking = this.#take();
    try {
      return await within({ ms: WAIT_MS, expecting: "a free session" }, taking);
    } catch (error) {
      // It may still come: then it is for somebody else.
      void taking.then(
        (late) => this.#give(late),
        () => undefined,
      );
      throw error;
    }
  }

  #take(): Promise<Session> {
    if (this.#closed) return Promise.reject(closed());
    const session = this.#idle.pop();
    if (session !== undefined) return Promise.resolve(session);
    const { promise, resolve, reject } = Promise.withResolvers<Session>();
    this.#waiting.push({ resolve, reject });
    if (this.#open.size + this.#opening < this.#options.width) void this.#openOne();
    return promise;
  }

  async #openOne(): Promise<void> {
    this.#opening += 1;
    try {
      const session = await connectPlatform(this.#options);
      this.#open.add(session);
      await this.#options.prepare?.(session).catch((error: unknown) => {
        this.#end(session);
        throw error;
      });
      session.once("end", () => this.#forget(session));
      this.#give(session);
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault("UNAVAILABLE", String(error));
      this.#waiting.shift()?.reject(fault);
    } finally {
      this.#opening -= 1;
      if (this.#closed) this.close();
    }
  }

  #give(session: Session): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve(session);
      return;
    }
    this.#idle.push(session);
    this.#cancelTrim?.();
    this.#cancelTrim = after(IDLE_MS, () => this.#trim());
  }

  #trim(): void {
    for (const session of this.#idle.splice(this.#options.keep())) this.#drop(session);
  }

  #drop(session: Session): void {
    this.#forget(session);
    this.#end(session);
    if (this.#waiting.length > 0 && !this.#closed) void this.#openOne();
  }

  #forget(session: Session): void {
    this.#open.delete(session);
    const at = this.#idle.indexOf(session);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  #end(session: Session): void {
    void session.end().catch(() => undefined);
  }
}

function closed(): Fault {
  return new Fault("UNAVAILABLE", "The instance is going down.");
}
