/**
 * Wakes those who wait for a change that some control wrote into the catalogue: LISTEN/NOTIFY in,
 * wake-ups out. A lost connection loses nothing: everybody is woken when it is back.
 */
import { listen } from "@aerodb/db";
import { type HostId, messageOf, type TenantId } from "@aerodb/model";
import { type Logger, Waiters, within } from "@aerodb/runtime";

/** A standing interest in one thing. */
export interface Watch {
  /** Resolves as soon as something may have changed since the last call returned. */
  changed(signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface Changes {
  /** Changes of what a host should hold. */
  watchHost(hostId: HostId): Watch;
  /** Changes of what the certificates of a host or gateway are worth. */
  watchIdentity(id: string): Watch;
  /** Changes of the route table. */
  watchRoutes(): Watch;
  /** Calls `look` now and after every change of the tenant, until it gives something. */
  untilTenant<Value>(
    tenantId: TenantId,
    look: () => Promise<Value | undefined>,
    signal: AbortSignal,
  ): Promise<Value>;
  /** Calls `look` now and after changes of shared tables came further, until it gives something. */
  untilSharedTables<Value>(
    look: () => Promise<Value | undefined>,
    signal: AbortSignal,
  ): Promise<Value>;
  /** Questions that another control has for the agent of a host. */
  watchQuestions(hostId: HostId): Watch;
  /** Calls `look` now and after a question was answered, until it gives something. */
  untilAnswer<Value>(
    questionId: string,
    look: () => Promise<Value | undefined>,
    signal: AbortSignal,
  ): Promise<Value>;
}

export interface ChangesOptions {
  readonly url: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const HOSTS = "aerodb_hosts";
const IDENTITIES = "aerodb_identities";
const ROUTES = "aerodb_routes";
const TENANTS = "aerodb_tenants";
const QUESTIONS = "aerodb_questions";
const ANSWERS = "aerodb_answers";
const SHARED_TABLES = "aerodb_shared_tables";
const CHANNELS = [HOSTS, IDENTITIES, ROUTES, TENANTS, QUESTIONS, ANSWERS, SHARED_TABLES];
const FIRST_CONNECTION_MS = 15_000;

/** Starts listening; resolves once it listens. Ends when the signal is aborted. */
export async function startChanges(options: ChangesOptions): Promise<Changes> {
  const { url, logger, signal } = options;
  const tenants = new Waiters();
  const answers = new Waiters();
  const sharedTables = new Waiters();
  const watches = new Map<string, Set<Nudge>>();
  const { promise: listening, resolve } = Promise.withResolvers<void>();

  function nudge(key: string): void {
    for (const each of watches.get(key) ?? []) each.nudge();
  }

  void listen(
    { url, channels: CHANNELS, applicationName: "aerodb-control-listen" },
    {
      notified(channel, payload) {
        if (channel === TENANTS) tenants.wake(payload);
        else if (channel === ANSWERS) answers.wake(payload);
        else if (channel === SHARED_TABLES) sharedTables.wakeAll();
        else nudge(keyOf(channel, payload));
      },
      connected() {
        resolve();
        tenants.wakeAll();
        answers.wakeAll();
        sharedTables.wakeAll();
        for (const key of watches.keys()) nudge(key);
      },
      lost(error) {
        logger.warn({ reason: messageOf(error) }, "lost the catalogue's notifications");
      },
    },
    signal,
  );

  function watch(key: string): Watch {
    const own = new Nudge();
    const others = watches.get(key) ?? new Set();
    watches.set(key, others.add(own));
    return {
      changed: (until) => own.changed(until),
      close() {
        others.delete(own);
        if (others.size === 0 && watches.get(key) === others) watches.delete(key);
      },
    };
  }

  await within({ ms: FIRST_CONNECTION_MS, expecting: "the catalogue's notifications" }, listening);
  return {
    watchHost: (hostId) => watch(keyOf(HOSTS, hostId)),
    watchIdentity: (id) => watch(keyOf(IDENTITIES, id)),
    watchRoutes: () => watch(keyOf(ROUTES, "")),
    untilTenant: (tenantId, look, until) => tenants.until(tenantId, look, until),
    untilSharedTables: (look, until) => sharedTables.until("", look, until),
    watchQuestions: (hostId) => watch(keyOf(QUESTIONS, hostId)),
    untilAnswer: (questionId, look, until) => answers.until(questionId, look, until),
  };
}

function keyOf(channel: string, payload: string): string {
  return `${channel} ${payload}`;
}

/** Remembers one wake-up until somebody asks for it: many become one, none is lost. */
class Nudge {
  #nudged = false;
  #wake: () => void = () => undefined;

  nudge(): void {
    this.#nudged = true;
    this.#wake();
  }

  async changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#nudged) {
      await this.#woken(signal);
      signal.throwIfAborted();
    }
    this.#nudged = false;
  }

  #woken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}
