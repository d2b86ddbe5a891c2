import { Fault, type GatewayId } from "@aerodb/model";
import type { UsageEvent } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import type {
  WatchedSpan,
  WatchRoutesRequest,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import type { Logger } from "@aerodb/runtime";
import type { Fleet } from "../app/fleet.ts";
import { decodeUsage } from "./decode-observed.ts";
import { decodeWatched } from "./decode-watched.ts";
import {
  type EncodedRoutes,
  encodeUsageAcknowledgement,
  encodeWatchedAcknowledgement,
} from "./encode-routes.ts";
import { Intake } from "./intake.ts";
import type { LinkStream } from "./link-stream.ts";
import { persist } from "./persist.ts";

export type GatewayStream = LinkStream<WatchRoutesRequest, EncodedRoutes>;

const MOST_USAGE_WAITING = 64;
const MOST_WATCHED_WAITING = 8;

export interface GatewaySessionOptions {
  readonly gatewayId: GatewayId;
  readonly stream: GatewayStream;
  readonly fleet: Fleet;
  readonly logger: Logger;
  /** Called whenever the gateway follows newer routes. */
  readonly acknowledged: () => void;
}

/** One gateway that is connected: what it was sent, and what it follows. */
export class GatewaySession {
  readonly #options: GatewaySessionOptions;
  readonly #usage: Intake<readonly UsageEvent[]>;
  readonly #watched: Intake<readonly WatchedSpan[]>;
  #sent: bigint | undefined;
  #follows = -1n;

  constructor(options: GatewaySessionOptions) {
    this.#options = options;
    this.#usage = new Intake({
      take: (events) => this.#takeUsage(events.flat()),
      failed: (error) => this.#fail(error),
      mostWaiting: MOST_USAGE_WAITING,
    });
    this.#watched = new Intake({
      take: (spans) => this.#takeWatched(spans.flat()),
      failed: (error) => this.#fail(error),
      mostWaiting: MOST_WATCHED_WAITING,
    });
  }

  /** Whether it still waits for its first whole table. */
  get isNew(): boolean {
    return this.#sent === undefined;
  }

  /** Whether new connections through it follow routes at least this new. */
  covers(generation: bigint): boolean {
    return this.#follows >= generation;
  }

  /** Sends one generation; one that it has already been sent is left out. */
  sendRoutes(generation: bigint, parts: readonly EncodedRoutes[]): void {
    if (this.#sent !== undefined && generation <= this.#sent) return;
    this.#sent = generation;
    for (const part of parts) void this.#options.stream.send(part);
  }

  /** The table begins anew: what comes next is whole, whatever its generation. */
  startOver(): void {
    this.#sent = undefined;
    this.#follows = -1n;
  }

  take(request: WatchRoutesRequest): void {
    // An acknowledgement of what an earlier stream sent says nothing about this one.
    const isOfThisStream = this.#sent !== undefined && request.generation <= this.#sent;
    if (isOfThisStream && request.generation > this.#follows) {
      this.#follows = request.generation;
      this.#options.acknowledged();
    }
    if (request.usage !== undefined) this.#holdBack(this.#usage.offer(request.usage.events));
    if (request.watched.length > 0) this.#holdBack(this.#watched.offer(request.watched));
  }

  #holdBack(room: Promise<void> | undefined): void {
    if (room !== undefined) this.#options.stream.holdBack(room);
  }

  end(fault: Fault): void {
    this.#options.stream.end(fault);
  }

  async #takeUsage(events: readonly UsageEvent[]): Promise<void> {
    const { fleet, gatewayId, stream, logger } = this.#options;
    const decoded = decodeUsage(events);
    await persist(() => fleet.takeUsage(gatewayId, decoded), { signal: stream.signal, logger });
    const last = events.at(-1);
    if (last !== undefined) await stream.send(encodeUsageAcknowledgement(last.sequence));
  }

  async #takeWatched(spans: readonly WatchedSpan[]): Promise<void> {
    const { fleet, gatewayId, stream, logger } = this.#options;
    const decoded = decodeWatched(spans);
    await persist(() => fleet.takeWatched(gatewayId, decoded), { signal: stream.signal, logger });
    const last = spans.at(-1);
    if (last !== undefined) await stream.send(encodeWatchedAcknowledgement(last.sequence));
  }

  #fail(error: unknown): void {
    const { stream, logger } = this.#options;
    if (stream.signal.aborted) return;
    if (error instanceof Fault) logger.warn({ because: error.message }, "ends a stream");
    else logger.error({ err: error }, "bug in the link of a gateway");
    stream.end(error);
  }
}
