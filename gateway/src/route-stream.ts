/** The stream to control: routes come down, acknowledgements and usage go up. */
import { Fault, lookAgain, type Outcome } from "@aerodb/model";
import {
  RouteService,
  WatchRoutesRequestSchema as requestSchema,
  type WatchRoutesRequestSchema,
  type WatchRoutesResponse,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { backoffMs, every, failpoint, type Logger, startLoop } from "@aerodb/runtime";
import { type CallingClient, openStream } from "@aerodb/wire";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { RouteTable, RouteUpdate } from "./routes.ts";
import type { Traffic } from "./traffic.ts";
import type { WatchedSpans } from "./watch/watched-spans.ts";

export interface RouteStreamSettings {
  /** Connected to control's link port. */
  readonly client: CallingClient;
  readonly routes: RouteTable;
  readonly traffic: Traffic;
  readonly watched: Pick<WatchedSpans, "after" | "acknowledge">;
  readonly version: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** How often usage is read. A minute when left out. */
  readonly usageEveryMs?: number;
}

export interface RouteStream {
  /** Whether the table is as new as control's. */
  readonly connected: boolean;
  /** Whether control was asked once and gave no table. */
  readonly refused: boolean;
  readonly ended: Promise<void>;
  /** Sends what was found of tenants since, if control is there. */
  sendWatched(): void;
}

type RequestInit = MessageInitShape<typeof WatchRoutesRequestSchema>;
type Call = ReturnType<typeof openStream<(typeof RouteService)["method"]["watchRoutes"]>>;

const MINUTE_MS = 60_000;
const EVENTS_PER_MESSAGE = 500;
const SPANS_PER_MESSAGE = 20;
const RECONNECT = { firstMs: 50, maxMs: 200 };

/** Follows control until the signal is aborted; reconnects with growing pauses. */
export function watchRoutes(settings: RouteStreamSettings): RouteStream {
  const { client, signal, traffic } = settings;
  let current: Watch | undefined;
  let refused = false;

  async function pass(): Promise<Outcome> {
    const watch = new Watch(openStream(client, RouteService.method.watchRoutes), settings);
    current = watch;
    try {
      await watch.ended;
    } finally {
      current = undefined;
    }
    refused = !watch.followed;
    if (refused) throw new Fault("UNAVAILABLE", `No routes from control: ${watch.reason}.`);
    settings.logger.warn({ because: watch.reason }, "lost control; serving from the table at hand");
    return lookAgain({ afterMs: backoffMs(1, RECONNECT), because: "the stream ended" });
  }

  every(
    settings.usageEveryMs ?? MINUTE_MS,
    () => {
      try {
        traffic.read();
        current?.sendUsage();
      } catch (error) {
        settings.logger.error({ err: error }, "usage could not be kept; it is counted on");
      }
    },
    signal,
  );
  const { logger } = settings;
  const restMs = RECONNECT.maxMs;
  const loop = startLoop(pass, { name: "routes", logger, signal, restMs, maxPauseMs: 1_000 });
  return {
    get connected() {
      return current?.followed ?? false;
    },
    get refused() {
      return refused;
    },
    ended: loop.ended,
    sendWatched: () => current?.sendWatched(),
  };
}

/** The life of one stream. */
class Watch {
  readonly ended: Promise<void>;
  /** Whether a table came and was taken in. */
  followed = false;
  reason = "the stream ended";
  readonly #call: Call;
  readonly #settings: RouteStreamSettings;
  readonly #parts: WatchRoutesResponse[] = [];
  #usageSent = 0n;
  #watchedSent = 0n;
  #taking = Promise.resolve();

  constructor(call: Call, settings: RouteStreamSettings) {
    this.#call = call;
    this.#settings = settings;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    const cancel = () => call.cancel();
    settings.signal.addEventListener("abort", cancel, { once: true });
    call.on("data", (message: WatchRoutesResponse) => {
      this.#taking = this.#taking.then(() => this.#take(message));
    });
    call.on("error", (error) => {
      this.reason = error.message;
    });
    call.on("status", () => {
      settings.signal.removeEventListener("abort", cancel);
      void this.#taking.then(resolve);
    });
    call.on("end", () => call.end());
    this.#send({ gatewayVersion: settings.version });
  }

  /** Sends every event that was not sent on this stream. Control acknowledges by number. */
  sendUsage(): void {
    for (;;) {
      const events = this.#settings.traffic.eventsAfter(this.#usageSent, EVENTS_PER_MESSAGE);
      const last = events.at(-1);
      if (last === undefined) return;
      this.#usageSent = last.sequence;
      this.#send({ generation: this.#settings.routes.generation, usage: { events } });
    }
  }

  /** The same of watched spans. */
  sendWatched(): void {
    for (;;) {
      const watched = this.#settings.watched.after(this.#watchedSent, SPANS_PER_MESSAGE);
      const last = watched.at(-1);
      if (last === undefined) return;
      this.#watchedSent = last.sequence;
      this.#send({ generation: this.#settings.routes.generation, watched });
    }
  }

  async #take(message: WatchRoutesResponse): Promise<void> {
    const { routes, logger } = this.#settings;
    const update = this.#updateWith(message);
    if (update === undefined) return;
    try {
      await failpoint("gateway.routes.before_take");
      routes.take(update);
      await failpoint("gateway.routes.after_take");
    } catch (error) {
      logger.error({ err: error, generation: update.generation }, "routes were refused");
      this.reason = "the routes that came were refused";
      this.#call.cancel();
      return;
    }
    this.#send({ generation: update.generation });
    if (this.followed) return;
    this.followed = true;
    logger.info({ generation: update.generation, routes: update.routes.length }, "follows control");
    this.sendUsage();
    this.sendWatched();
  }

  /** The update that a message completes. What acknowledges usage only, completes none. */
  #updateWith(message: WatchRoutesResponse): RouteUpdate | undefined {
    const { generation, usageSequence, watchedSequence } = message;
    const { traffic, watched } = this.#settings;
    if (usageSequence > 0n) traffic.acknowledge(usageSequence);
    if (watchedSequence > 0n) watched.acknowledge(watchedSequence);
    if (generation === 0n && !message.whole) return undefined;
    this.#parts.push(message);
    return message.more ? undefined : joined(this.#parts.splice(0));
  }

  #send(message: RequestInit): void {
    this.#call.write(create(requestSchema, message));
  }
}

function joined(parts: readonly WatchRoutesResponse[]): RouteUpdate {
  return {
    generation: parts.at(-1)?.generation ?? 0n,
    whole: parts.some((part) => part.whole),
    routes: parts.flatMap((part) => part.routes),
    endpoints: parts.flatMap((part) => part.endpoints),
  };
}
