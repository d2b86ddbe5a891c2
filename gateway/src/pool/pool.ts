/**
 * The servers that clients of one tenant use in turn: opened as they are needed, with the key that
 * the clients have shown, up to a number; who finds none free waits in line.
 */
import { Fault, messageOf } from "@aerodb/model";
import { encodeStartupMessage, type ScramKeys, type ServerReport } from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { after, type Logger, monotonicMs } from "@aerodb/runtime";
import type { Parking } from "../parking.ts";
import type { Traffic } from "../traffic.ts";
import type { Reach } from "../watch/reach.ts";
import { type Instances, sentenceFor } from "../wire/instances.ts";
import type { Relay } from "../wire/relay.ts";
import { logIn, type ReadyServer, reportOfLogin, type ServerLogin } from "../wire/server-login.ts";
import type { Holder } from "./holder.ts";
import { PooledServer } from "./pooled-server.ts";
import { Statements } from "./statements.ts";

export interface PoolSettings {
  readonly instances: Instances;
  readonly parking: Parking;
  readonly traffic: Traffic;
  readonly reach: Pick<Reach, "loggedIn">;
  readonly logger: Logger;
  /** How many servers a tenant may have at most, and never more than half of its connections. */
  readonly poolSize: number;
  /** How long a client waits for a server to become free. */
  readonly poolWaitMs: number;
}

/** A client that needs a server. */
export interface Waiting extends Holder {
  readonly settingsKey: string;
  /** Of its settings, those that end what takes too long. */
  readonly times: string;
  granted(server: PooledServer): void;
  denied(report: ServerReport): void;
  /** The server that is opened for it has to be woken. */
  wakes?(): void;
}

/** A client that is inside, whether it needs a server or not. */
export type Inside = Pick<Relay, "ended" | "endAtRest">;

/** How many of the free ones are looked at for one that has the client's settings. */
const LOOKED_AT = 8;

export class Pool {
  readonly statements = new Statements();
  readonly keys: ScramKeys;
  readonly instanceId: string;
  /** What clients are greeted with, by the settings that they have. */
  readonly greetings = new Map<string, Buffer>();
  /** How many clients it has. */
  clients = 0;
  readonly #route: Route;
  readonly #settings: PoolSettings;
  readonly #servers = new Set<PooledServer>();
  readonly #free: PooledServer[] = [];
  readonly #abandoned = new WeakSet<PooledServer>();
  /** In the order in which they came, with when that was. */
  readonly #waiting = new Map<Waiting, number>();
  readonly #inside = new Set<Inside>();
  readonly #ending = new AbortController();
  #closedBecause: ServerReport | undefined;
  #opening = 0;
  #cancelTimer: (() => void) | undefined;
  readonly #leaveParking: () => void;

  constructor(route: Route, keys: ScramKeys, settings: PoolSettings) {
    this.#route = route;
    this.#settings = settings;
    this.keys = keys;
    this.instanceId = route.instanceId;
    this.#leaveParking = settings.parking.join(this.instanceId, (over) => this.#park(over));
  }

  get closed(): boolean {
    return this.#closedBecause !== undefined;
  }

  get size(): number {
    return this.#servers.size + this.#opening;
  }

  get #most(): number {
    return Math.max(
      1,
      Math.min(this.#settings.poolSize, Math.floor(this.#route.connectionLimit / 2)),
    );
  }

  /** Has a client told, at its first moment of rest, that the pool serves nobody any more. */
  enter(client: Inside): void {
    if (this.#closedBecause !== undefined) client.endAtRest(this.#closedBecause);
    this.#inside.add(client);
    void client.ended.then(() => this.#inside.delete(client));
  }

  /** A free server, which is the client's until it leaves it; else it is told when there is one. */
  acquire(client: Waiting): PooledServer | undefined {
    const report = this.#closedBecause;
    if (report !== undefined) {
      queueMicrotask(() => client.denied(report));
      return undefined;
    }
    const server = this.#waiting.size === 0 ? this.#takeFree(client) : undefined;
    if (server !== undefined) {
      server.holder = client;
      return server;
    }
    this.#waiting.set(client, monotonicMs());
    this.#watchWaiting();
    this.#open();
    return undefined;
  }

  /** Ends a server at work: what it does is wanted no longer. */
  abandon(server: PooledServer): void {
    this.#abandoned.add(server);
    const target = { instanceId: this.instanceId, key: server.key };
    const { signal } = this.#ending;
    void this.#settings.instances.cancel(target, signal).finally(() => server.stream.destroy());
  }

  /** Until the call of what is returned, whoever comes next does not get the server. */
  reserve(server: PooledServer): () => void {
    server.cancels += 1;
    return () => {
      server.cancels -= 1;
      this.#serve();
    };
  }

  /** It waits no longer. */
  forget(client: Waiting): void {
    this.#waiting.delete(client);
  }

  /** Gives back what nobody has used for so long. Returns how many that were. */
  trim(idleMs: number): number {
    const most = monotonicMs() - idleMs;
    // The one that was free longest is first. Whoever comes meanwhile must not get what ends.
    const kept = this.#free.findIndex(({ idleSinceMs }) => idleSinceMs > most);
    const ending = this.#free.splice(0, kept < 0 ? Number.POSITIVE_INFINITY : kept);
    for (const server of ending) server.end();
    return ending.length;
  }

  /**
   * Ends every server: those in use when they are left. Whoever waits is told, and so is whoever
   * rests: those who keep connections for later replace what ends then, and lose no query by it.
   */
  close(report: ServerReport): void {
    this.#closedBecause = report;
    this.#leaveParking();
    this.#ending.abort();
    this.#deny(report, this.#waiting.size);
    for (const client of [...this.#inside]) client.endAtRest(report);
    this.#free.length = 0;
    for (const server of this.#servers) if (server.holder === undefined) server.end();
  }

  #takeFree({ settingsKey, times }: Waiting): PooledServer | undefined {
    const free = this.#free;
    for (let at = free.length - 1; at >= Math.max(0, free.length - LOOKED_AT); at -= 1) {
      const server = free[at];
      if (server === undefined || server.settings.key !== settingsKey || server.cancels > 0)
        continue;
      if (server.stream.destroyed) continue;
      free.splice(at, 1);
      return server;
    }
    const usable = free.filter(({ cancels, stream }) => cancels === 0 && !stream.destroyed);
    const suits = ({ settings }: PooledServer) => settings.times === "" || settings.times === times;
    const server = usable.findLast(suits) ?? usable.at(-1);
    if (server !== undefined) free.splice(free.indexOf(server), 1);
    if (server === undefined || suits(server)) return server;
    // What would end the work of another is undone first, with nobody there to lose by it.
    server.adopt(new Map(), "");
    return undefined;
  }

  get parked(): boolean {
    return this.#settings.parking.of(this.instanceId) !== undefined;
  }

  /** Leaves the instance until it is over: who waits for a server waits from then on. */
  #park(over: AbortSignal): void {
    for (const server of this.#free.splice(0)) server.end();
    over.addEventListener("abort", () => this.#comeBack(), { once: true });
  }

  #comeBack(): void {
    for (const client of this.#waiting.keys()) {
      this.#waiting.set(client, monotonicMs());
      this.#open();
    }
    this.#watchWaiting();
  }

  /** A server has nothing to do. */
  free(server: PooledServer): void {
    // One that was cancelled may be done before it is gone.
    if (this.#abandoned.has(server)) return;
    if (this.closed || this.parked) {
      if (this.parked) this.#settings.traffic.of(this.#route.tenantId).parks += 1;
      server.end();
      return;
    }
    server.idleSinceMs = monotonicMs();
    this.#free.push(server);
    this.#serve();
  }

  #serve(): void {
    for (const [client] of this.#waiting) {
      const server = this.#takeFree(client);
      if (server === undefined) return;
      this.#waiting.delete(client);
      server.holder = client;
      client.granted(server);
    }
  }

  #open(): void {
    if (this.closed || this.parked) return;
    if (this.size >= this.#most || this.#opening >= this.#waiting.size) return;
    this.#opening += 1;
    void this.#openOne().then((lost) => {
      this.#opening -= 1;
      // One client was told of that. The others still wait, and perhaps nobody else comes.
      if (lost) this.#open();
    });
  }

  /** Returns whether the server ended while it was opened. Never rejects. */
  async #openOne(): Promise<boolean> {
    const { instances, reach, logger } = this.#settings;
    const { role, instanceId } = this.#route;
    const { signal } = this.#ending;
    try {
      const connection = await instances.open(
        instanceId,
        {
          startupFor: ({ database }) => {
            const parameters = Object.entries({ user: role, database });
            return encodeStartupMessage({ minor: 0, parameters });
          },
          waits: () => {
            this.#settings.traffic.of(this.#route.tenantId).wakeWaits += 1;
            for (const client of this.#waiting.keys()) client.wakes?.();
          },
        },
        signal,
      );
      const login = await logIn(connection, this.keys, signal);
      if (!this.parked) reach.loggedIn(this.#route, login);
      // On its way in as the instance was parked: whoever waits goes on waiting.
      if (login.kind === "ready") this.#add(login.server);
      else if (!this.parked) this.#notOpened(login);
      return login.kind === "lost";
    } catch (error) {
      if (signal.aborted) return false;
      if (!(error instanceof Fault))
        logger.error({ err: error }, "bug while a pool opened a server");
      this.#deny(fatal("57P03", messageOf(error)), this.#waiting.size);
      return false;
    }
  }

  #add(ready: ReadyServer): void {
    const server = new PooledServer(ready, (idle) => this.free(idle));
    this.#servers.add(server);
    // One that has ended its side listens no longer, and is nobody's to wait for.
    ready.stream.once("end", () => ready.stream.destroy());
    ready.stream.once("close", () => this.#remove(server));
    this.free(server);
  }

  #remove(server: PooledServer): void {
    this.#servers.delete(server);
    const at = this.#free.indexOf(server);
    if (at >= 0) this.#free.splice(at, 1);
    server.holder?.lost(server.failure, server.hasTold);
    server.holder = undefined;
    this.#open();
  }

  #notOpened(login: Exclude<ServerLogin, { readonly kind: "ready" }>): void {
    switch (login.kind) {
      case "refused":
        this.#deny(fatal("28P01", "the password was replaced: connect again"), this.#waiting.size);
        return;
      case "lost":
        this.#deny(fatal("57P03", "the tenant's server ended: try again in a moment"), 1);
        return;
      case "error": {
        // Where others serve, the client may wait for those: sessions may have taken the rest.
        if (this.#servers.size > 0) return;
        this.#deny(reportOfLogin(login.message, this.#route), this.#waiting.size);
      }
    }
  }

  #deny(report: ServerReport, most: number): void {
    for (const client of [...this.#waiting.keys()].slice(0, most)) {
      this.#waiting.delete(client);
      client.denied(report);
    }
  }

  /** Who came first is looked after: the others have waited for less. */
  #watchWaiting(): void {
    const [first] = this.#waiting.values();
    if (this.#cancelTimer !== undefined || first === undefined || this.parked) return;
    const { poolWaitMs } = this.#settings;
    const leftMs = Math.max(1, first + poolWaitMs - monotonicMs());
    this.#cancelTimer = after(leftMs, () => {
      this.#cancelTimer = undefined;
      if (this.parked) return;
      const over = monotonicMs() - poolWaitMs;
      const late = [...this.#waiting.values()].filter((since) => since <= over).length;
      // Where there is none at all, it is not that others have them.
      const isUp = this.#servers.size > 0;
      if (isUp) this.#settings.traffic.of(this.#route.tenantId).poolTimeouts += late;
      this.#deny(isUp ? noneFree(poolWaitMs) : fatal("57P03", sentenceFor()), late);
      this.#watchWaiting();
    });
  }
}

function noneFree(poolWaitMs: number): ServerReport {
  const seconds = Math.round(poolWaitMs / 100) / 10;
  const message =
    `no server connection of the pool became free within ${seconds} s: ` +
    "use fewer connections or shorter transactions";
  return fatal("53300", message);
}

function fatal(sqlState: string, message: string): ServerReport {
  return { severity: "FATAL", sqlState, message };
}
