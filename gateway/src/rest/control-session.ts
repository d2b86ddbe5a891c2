/**
 * The HTTP/2 connection to control, which may be there and say nothing: a control that is stopped,
 * or a machine that is cut off, leaves it open. Calls that are under way may take long, so it is
 * control that is asked for a sign of life, and not the call that is cut short.
 */
import type { Http2Session } from "node:http2";
import { clientTlsOptions, type Keys } from "@aerodb/identity";
import { within } from "@aerodb/runtime";
import { Code, ConnectError } from "@connectrpc/connect";
import { Http2SessionManager } from "@connectrpc/connect-node";

type Request = Http2SessionManager["request"];

export interface SessionTimes {
  /** How often control is asked, while it says nothing by itself. */
  readonly pingEveryMs: number;
  /** How long it may take to answer. */
  readonly patienceMs: number;
}

const TIMES: SessionTimes = { pingEveryMs: 2_000, patienceMs: 5_000 };

/** Fails calls with UNAVAILABLE when control gives no sign of life, and those that cannot begin. */
export class ControlSession {
  readonly #manager: Http2SessionManager;
  readonly #patienceMs: number;
  readonly #quiet = new WeakSet<Http2Session>();

  constructor(
    control: { readonly baseUrl: string; readonly keys: Keys },
    { pingEveryMs, patienceMs }: SessionTimes = TIMES,
  ) {
    this.#patienceMs = patienceMs;
    this.#manager = new Http2SessionManager(
      control.baseUrl,
      { pingIntervalMs: pingEveryMs, pingTimeoutMs: patienceMs, pingIdleConnection: true },
      clientTlsOptions(control.keys),
    );
  }

  get authority(): string {
    return this.#manager.authority;
  }

  /** Begins a call, on a connection that is made, or verified, within a deadline. */
  async request(...call: Parameters<Request>): ReturnType<Request> {
    await this.#connect();
    const stream = await this.#manager.request(...call);
    this.#keepQuiet(stream.session);
    return stream;
  }

  notifyResponseByteRead(stream: Parameters<Http2SessionManager["notifyResponseByteRead"]>[0]) {
    this.#manager.notifyResponseByteRead(stream);
  }

  close(): void {
    this.#manager.abort();
  }

  /**
   * The library lets go of a session that is being destroyed when the next call comes, before the
   * session has said why. An error that nobody listens to would end this process.
   */
  #keepQuiet(session: Http2Session | undefined): void {
    if (session === undefined || this.#quiet.has(session)) return;
    this.#quiet.add(session);
    session.on("error", () => undefined);
  }

  /** A kernel accepts connections for a process that hangs: the library would wait for ever. */
  async #connect(): Promise<void> {
    const manager = this.#manager;
    // One that is there may have to be verified first.
    const isThere = ["open", "idle", "verifying"].includes(manager.state());
    const wait = { ms: (isThere ? 2 : 1) * this.#patienceMs, expecting: "control to connect" };
    try {
      if ((await within(wait, manager.connect())) !== "error") return;
    } catch {
      const late = new ConnectError("control takes no connection", Code.Unavailable);
      if (manager.state() === "connecting") manager.abort(late);
    }
    throw ConnectError.from(manager.error(), Code.Unavailable);
  }
}
