/**
 * The Postgres port: accepts connections, bounds what strangers may hold, and ends it all in time.
 */
import { createServer, type Server, type Socket } from "node:net";
import { Fault } from "@aerodb/model";
import { encodeErrorResponse, type ServerReport } from "@aerodb/postgres";
import { after, monotonicMs, sleep } from "@aerodb/runtime";
import type { ServerTls } from "../server-tls.ts";
import type { Relay } from "./relay.ts";
import { openSession, type SessionSettings } from "./session.ts";
import { Strangers } from "./strangers.ts";

export interface ListenerSettings extends SessionSettings {
  readonly port: number;
  readonly address: string;
  /** Whether others of this user may listen on the port too: the kernel chooses among them. */
  readonly sharesPort: boolean;
  /** Connections that have not said yet, or not proven, who they are. */
  readonly halfOpen: number;
  /** How long transactions may go on once the port is closed. */
  readonly drainMs: number;
  /** What a connection is secured with that comes now. */
  readonly tls: Pick<ServerTls, "shown">;
}

export interface PostgresListener {
  readonly port: number;
  readonly accepting: boolean;
  /** Accepts no more, and lets who is inside leave by themselves for so long. */
  waitForClients(mostMs: number): Promise<void>;
  /**
   * Accepts no more, ends each session when it is outside of a transaction, and those that are not
   * when their time is over.
   */
  close(): Promise<void>;
}

/** Until a session is open, whatever happens: more than each step of the way may take. */
const OPENING_DEADLINE_MS = 1_800_000;
const KEEP_ALIVE_MS = 60_000;
const BACKLOG = 1_024;
const GRACE_MS = 500;
const DRAIN_STEP_MS = 25;
/** Who has just come and asked nothing yet is about to. */
const ARRIVAL_MS = 1_000;
/** How long a moment is waited for in which nobody comes. */
const QUIET_MS = 100;

export const SHUTTING_DOWN: ServerReport = {
  severity: "FATAL",
  sqlState: "57P01",
  message: "terminating connection: the gateway is shutting down",
};
const TOO_MANY: ServerReport = {
  severity: "FATAL",
  sqlState: "53300",
  message: "too many connections are being opened: try again in a moment",
};

/** Listens. Rejects with the error of the socket, such as EADDRINUSE. */
export async function listenForPostgres(settings: ListenerSettings): Promise<PostgresListener> {
  const doors = new Doors(settings);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    void doors.admit(socket);
  });
  const port = await listen(server, settings);
  let closed: Promise<unknown> | undefined;
  async function shut(): Promise<void> {
    // What the kernel has accepted and we have not is lost: to a port that is shared people come.
    if (settings.sharesPort) await doors.untilQuiet();
    closed = new Promise((resolve) => server.close(resolve));
  }
  return {
    port,
    get accepting() {
      return server.listening;
    },
    async waitForClients(mostMs) {
      await shut();
      await doors.untilEmpty(mostMs);
    },
    async close() {
      if (closed === undefined) await shut();
      await doors.close();
      await closed;
    },
  };
}

/** Everybody who is inside or on the way in. */
class Doors {
  readonly #settings: ListenerSettings;
  readonly #strangers: Strangers<Socket>;
  /** With when they were opened. */
  readonly #sessions = new Map<Relay, number>();
  readonly #sockets = new Set<Socket>();
  #admitted = 0;

  constructor(settings: ListenerSettings) {
    this.#settings = settings;
    this.#strangers = new Strangers(settings.halfOpen);
  }

  async admit(socket: Socket): Promise<void> {
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on("error", () => undefined);
    this.#admitted += 1;
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const { limits } = this.#settings;
    const address = socket.remoteAddress ?? "";
    const refusal = limits.refusalOfSource(address) ?? this.#refusalOfFull(address);
    if (refusal !== undefined) {
      socket.end(encodeErrorResponse(refusal), () => socket.destroy());
      return;
    }
    const ending = new AbortController();
    const left = limits.enter(address);
    const known = this.#strangers.enter(address, socket, () => ending.abort());
    const cancel = after(OPENING_DEADLINE_MS, () => ending.abort());
    // A client that leaves while its instance wakes is not waited for.
    socket.once("close", () => ending.abort());
    let session: Relay | undefined;
    try {
      const { shown } = this.#settings.tls;
      session = await openSession(socket, shown, this.#settings, ending.signal);
    } catch (error) {
      if (!isExpected(error)) this.#settings.logger.error({ err: error }, "bug in a session");
      socket.destroy();
    } finally {
      cancel();
      left();
      known();
    }
    if (session === undefined) {
      // What was said last is on its way; a client that does not read it is not waited for.
      const stay = after(GRACE_MS, () => socket.destroy());
      socket.once("close", stay);
      if (socket.closed) stay();
      return;
    }
    const { ended } = session;
    this.#sessions.set(session, monotonicMs());
    await ended;
    this.#sessions.delete(session);
  }

  /** Whoever makes room for another is refused in its place. */
  #refusalOfFull(address: string): ServerReport | undefined {
    const before = this.#strangers.size;
    const hasRoom = this.#strangers.makeRoom(address);
    const { strangersRefused } = this.#settings.limits;
    if (!hasRoom || this.#strangers.size < before) strangersRefused.half_open += 1;
    return hasRoom ? undefined : TOO_MANY;
  }

  /** Resolves when nobody has come for a moment. */
  async untilQuiet(): Promise<void> {
    const deadline = monotonicMs() + QUIET_MS;
    for (let before = -1; before !== this.#admitted && monotonicMs() < deadline; ) {
      before = this.#admitted;
      await sleep(1);
    }
  }

  /** Resolves when nobody is inside, or after so long. */
  async untilEmpty(mostMs: number, meanwhile: () => void = () => undefined): Promise<void> {
    const deadline = monotonicMs() + mostMs;
    while (this.#sessions.size + this.#strangers.size > 0 && monotonicMs() < deadline) {
      meanwhile();
      await sleep(DRAIN_STEP_MS);
    }
  }

  async close(): Promise<void> {
    await this.untilEmpty(this.#settings.drainMs, () => this.#askToLeave());
    this.#strangers.endAll();
    const sessions = [...this.#sessions.keys()];
    const { logger } = this.#settings;
    if (sessions.length > 0) logger.info({ sessions: sessions.length }, "ends who is left");
    for (const session of sessions) session.end(SHUTTING_DOWN);
    await Promise.race([Promise.all(sessions.map(({ ended }) => ended)), sleep(GRACE_MS)]);
    for (const socket of this.#sockets) socket.destroy();
  }

  #askToLeave(): void {
    const newMs = monotonicMs() - ARRIVAL_MS;
    for (const [session, openedMs] of this.#sessions) {
      if (session.traffic.transactions === 0 && openedMs > newMs) continue;
      session.endAtRest(SHUTTING_DOWN);
    }
  }
}

/** The client left, took too long or does not speak the protocol; or the gateway stops. */
function isExpected(error: unknown): boolean {
  return error instanceof Fault || (error instanceof Error && error.name === "AbortError");
}

function listen(
  server: Server,
  { port, address, sharesPort }: Pick<ListenerSettings, "port" | "address" | "sharesPort">,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const where = { port, host: address, backlog: BACKLOG, reusePort: sharesPort };
    server.listen(where, () => {
      server.off("error", reject);
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
}
