import { backoffMs, sleep } from "@aerodb/runtime";
import pg from "pg";

/** What a listener tells. A payload is a hint: read the state again before acting. */
export interface ListenerEvents {
  notified(channel: string, payload: string): void;
  /**
   * Notifications may have been lost (at first, and after every reconnection): look at everything.
   */
  connected(): void;
  lost(error: unknown): void;
}

const RECONNECT = { firstMs: 50, maxMs: 2_000 };

/** Listens on channels until the signal is aborted, reconnecting as often as needed. */
export async function listen(
  options: {
    readonly url: string;
    readonly channels: readonly string[];
    readonly applicationName: string;
  },
  events: ListenerEvents,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await listenOnce(options, events, signal, () => {
        failures = 0;
      });
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      events.lost(error);
      await sleep(backoffMs(failures, RECONNECT), signal).catch(() => undefined);
    }
  }
}

async function listenOnce(
  options: Parameters<typeof listen>[0],
  events: ListenerEvents,
  signal: AbortSignal,
  connected: () => void,
): Promise<void> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  client.on("error", reject);
  client.on("end", () => reject(new Error("the connection ended")));
  client.on("notification", ({ channel, payload }) => events.notified(channel, payload ?? ""));
  ended.catch(() => undefined);
  signal.addEventListener("abort", () => resolve(), { once: true });
  try {
    await client.connect();
    for (const channel of options.channels) {
      await client.query(`listen ${pg.escapeIdentifier(channel)}`);
    }
    connected();
    events.connected();
    await ended;
  } finally {
    await client.end().catch(() => undefined);
  }
}
