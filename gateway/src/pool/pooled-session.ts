/** A session that has a server of its tenant's pool while a transaction is open. */
import { decodeReport, type ServerReport, type SessionSettings } from "@aerodb/postgres";
import { failpoint } from "@aerodb/runtime";
import type { Traffic } from "../traffic.ts";
import type { CancelKeys, CancelTarget } from "../wire/cancel-keys.ts";
import { ConnectionTraffic } from "../wire/connection-traffic.ts";
import { HEAD_BYTES } from "../wire/messages.ts";
import type { Relay } from "../wire/relay.ts";
import { type Entry, encodeWelcome, refuse, type Serve } from "../wire/session.ts";
import type { TenantSession } from "../wire/tenant-sessions.ts";
import { keyOf, timesOf } from "./client-settings.ts";
import type { Pool, Waiting } from "./pool.ts";
import { PooledClient } from "./pooled-client.ts";
import type { PooledServer } from "./pooled-server.ts";
import type { Pools } from "./pools.ts";

export interface PooledSettings {
  readonly pools: Pools;
  readonly cancelKeys: CancelKeys;
  readonly traffic: Traffic;
  /** How many clients a tenant may have here. */
  readonly poolClients: number;
}

/** Greetings of more settings than these are asked for again. */
const MOST_GREETINGS = 100;
const NOT_GREETED: ServerReport = {
  severity: "FATAL",
  sqlState: "57P03",
  message: "the tenant's server ended: try again in a moment",
};

/** Serves clients by the pool of their tenant. */
export function servePooled(settings: PooledSettings): Serve {
  return (entry, session, signal) => open(entry, session, settings, signal);
}

async function open(
  entry: Entry,
  session: TenantSession,
  { pools, cancelKeys, traffic, poolClients }: PooledSettings,
  signal: AbortSignal,
): Promise<Relay | undefined> {
  const { stream, route, proof, ask, minor } = entry;
  const pool = pools.of(route, proof);
  const counters = traffic.of(route.tenantId);
  if (pool.clients >= poolClients) {
    counters.connectionsRefused += 1;
    refuse(entry, tooMany(poolClients));
    return undefined;
  }
  pool.clients += 1;
  let client: PooledClient | undefined;
  try {
    const greeting = await greet(pool, ask.settings, session, signal);
    if (!Buffer.isBuffer(greeting)) {
      counters.connectionsRefused += 1;
      refuse(entry, greeting);
      return undefined;
    }
    await failpoint("gateway.pooled.after_greeting");
    signal.throwIfAborted();
    const own = cancelKeys.register(() => targetOf(pool, client), minor);
    session.onEnd(() => cancelKeys.forget(own));
    stream.write(encodeWelcome(entry, greeting, own));
    const carried = new ConnectionTraffic(counters);
    const { settings } = ask;
    client = new PooledClient(stream, { pool, settings, greeting, traffic: carried });
    client.unshift(entry.client.reader.rest());
    pool.enter(client);
    return client;
  } finally {
    void (client?.ended ?? Promise.resolve()).then(() => {
      pool.clients -= 1;
      client?.traffic.closed();
    });
  }
}

function tooMany(most: number): ServerReport {
  const message = `too many connections: the pooled port takes ${most} of a tenant`;
  return { severity: "FATAL", sqlState: "53300", message };
}

/** What is told that a client cancels, if anything works for it. */
function targetOf(pool: Pool, client: PooledClient | undefined): CancelTarget | undefined {
  const server = client?.cancelled();
  if (server === undefined) return undefined;
  const reserve = () => pool.reserve(server);
  const unanswered = client?.justAsked.unanswered;
  return { instanceId: pool.instanceId, key: server.key, reserve, unanswered };
}

/** What a client of these settings is told first; the first time a server is asked, and woken. */
async function greet(
  pool: Pool,
  settings: SessionSettings,
  session: TenantSession,
  signal: AbortSignal,
): Promise<Buffer | ServerReport> {
  const key = keyOf(settings);
  const known = pool.greetings.get(key);
  if (known !== undefined) return known;
  const greeting = await new Greeting(pool, settings, session).asked(signal);
  if (!Buffer.isBuffer(greeting)) return greeting;
  const [oldest] = pool.greetings.size < MOST_GREETINGS ? [] : pool.greetings.keys();
  if (oldest !== undefined) pool.greetings.delete(oldest);
  pool.greetings.set(key, greeting);
  return greeting;
}

/** What a server that was asked for settings has refused; undefined when it ended by itself. */
function refusalIn(failure: Buffer | undefined): ServerReport | undefined {
  if (failure === undefined) return undefined;
  const said = decodeReport(failure.subarray(HEAD_BYTES));
  const [sqlState, message] = [said.get("C"), said.get("M")];
  if (said.get("V") !== "ERROR" || sqlState === undefined) return undefined;
  // A value may be so long that not all of the sentence was kept.
  return { severity: "FATAL", sqlState, message: message ?? "the server refused a setting" };
}

/** Takes a server only to hear what it says of settings. */
class Greeting implements Waiting {
  readonly settingsKey: string;
  readonly times: string;
  readonly #pool: Pool;
  readonly #settings: SessionSettings;
  readonly #session: TenantSession;
  readonly #heard = Promise.withResolvers<Buffer | ServerReport>();
  #server: PooledServer | undefined;

  constructor(pool: Pool, settings: SessionSettings, session: TenantSession) {
    this.#pool = pool;
    this.#settings = settings;
    this.#session = session;
    this.settingsKey = keyOf(settings);
    this.times = timesOf(settings);
  }

  async asked(signal: AbortSignal): Promise<Buffer | ServerReport> {
    const abort = () => this.#heard.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      const server = this.#pool.acquire(this);
      if (server !== undefined) this.granted(server);
      return await this.#heard.promise;
    } finally {
      signal.removeEventListener("abort", abort);
      this.#pool.forget(this);
    }
  }

  granted(server: PooledServer): void {
    this.#server = server;
    server.adopt(this.#settings, this.settingsKey);
    if (server.resting) this.rested();
  }

  rested(): void {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#heard.resolve(server.settings.greeting);
    server.leave();
  }

  wakes(): void {
    this.#session.woke = true;
  }

  denied(report: ServerReport): void {
    this.#heard.resolve(report);
  }

  lost(failure: Buffer | undefined): void {
    this.#server = undefined;
    this.#heard.resolve(refusalIn(failure) ?? NOT_GREETED);
  }

  receive(): void {
    // It asks nothing.
  }
  paused(): void {
    // It asks nothing.
  }
  answered(): void {
    // It asks nothing.
  }
  changed(): void {
    // It asks nothing.
  }
  putBack(): void {
    // It asks nothing.
  }
  forgotten(): void {
    // It has prepared nothing.
  }
}
