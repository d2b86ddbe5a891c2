/**
 * RouteService: the route table, streamed to every gateway. One loop reads what changed and sends
 * the same bytes to all; a gateway that is new gets the whole table from the same loop, so that no
 * change falls between its table and the changes that follow.
 */
import { type ShownCertificate, shownCertificate } from "@aerodb/identity";
import { Fault, type GatewayId, type Outcome, settled } from "@aerodb/model";
import type {
  WatchRoutesRequest,
  WatchRoutesResponse,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { after, type Logger, startLoop, Waiters } from "@aerodb/runtime";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { RouteAcknowledgements } from "../app/control.ts";
import type { Fleet, RouteTable } from "../app/fleet.ts";
import { LINK_TIMES, type LinkTimes } from "./agent-session.ts";
import { encodeRoutes } from "./encode-routes.ts";
import { GatewaySession, type GatewayStream } from "./gateway-session.ts";
import { LinkStream } from "./link-stream.ts";
import { persist } from "./persist.ts";
import { keepStanding } from "./standing.ts";

export type GatewayCall = ServerDuplexStream<WatchRoutesRequest, WatchRoutesResponse>;

/** Who waits for an acknowledgement waits for this. */
const ACKNOWLEDGED = "acknowledged";
const REST_MS = 30_000;

export interface RouteLinkOptions {
  readonly logger: Logger;
  readonly times?: LinkTimes;
}

export class RouteLink implements RouteAcknowledgements {
  readonly #logger: Logger;
  readonly #times: LinkTimes;
  readonly #sessions = new Set<GatewaySession>();
  readonly #streams = new Set<GatewayStream>();
  readonly #waiters = new Waiters();
  #fleet: Fleet | undefined;
  #nudge: () => void = () => undefined;
  /** Generation up to which every gateway that is not new has been sent the changes. */
  #position = 0n;

  constructor(options: RouteLinkOptions) {
    this.#logger = options.logger;
    this.#times = options.times ?? LINK_TIMES;
  }

  /**
   * Begins to follow the route table. Resolves once the signal was aborted and the last look ended.
   */
  async follow(fleet: Fleet, signal: AbortSignal): Promise<void> {
    this.#fleet = fleet;
    const watch = fleet.watchRoutes();
    const loop = startLoop(() => this.#pass(fleet, signal), {
      name: "routes",
      logger: this.#logger,
      signal,
      restMs: REST_MS,
    });
    this.#nudge = () => loop.nudge();
    try {
      for (;;) {
        await watch.changed(signal);
        loop.nudge();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      watch.close();
      await loop.ended;
    }
  }

  /** Serves one stream. */
  readonly watchRoutes = (call: GatewayCall): void => {
    const stream: GatewayStream = new LinkStream(call);
    const shown = shownCertificate(call);
    const fleet = this.#fleet;
    if (shown?.kind !== "gateway") {
      stream.end(new Fault("PERMISSION_DENIED", "Only a gateway may dial this."));
    } else if (fleet === undefined) {
      stream.end(new Fault("UNAVAILABLE", "control starts; dial again."));
    } else {
      this.#streams.add(stream);
      stream.signal.addEventListener("abort", () => this.#streams.delete(stream), { once: true });
      this.#awaitHello(stream, { fleet, shown });
    }
  };

  async covers(generation: bigint, signal: AbortSignal): Promise<void> {
    const look = async (): Promise<true | undefined> =>
      [...this.#sessions].every((session) => session.covers(generation)) || undefined;
    if ((await look()) === undefined) await this.#waiters.until(ACKNOWLEDGED, look, signal);
  }

  /** Ends every stream; gateways dial again, here or elsewhere. */
  close(): void {
    const fault = new Fault("UNAVAILABLE", "control stops; dial again.");
    for (const stream of this.#streams) stream.end(fault);
  }

  #awaitHello(
    stream: GatewayStream,
    who: { readonly fleet: Fleet; readonly shown: ShownCertificate },
  ): void {
    const { helloMs } = this.#times;
    const cancel = after(helloMs, () => {
      stream.end(new Fault("OPERATION_TIMED_OUT", `Waited ${helloMs} ms for a first message.`));
    });
    stream.signal.addEventListener("abort", cancel, { once: true });
    let opening: Promise<GatewaySession | undefined> | undefined;
    stream.receive(
      (request) => {
        cancel();
        if (opening === undefined) opening = this.#open(stream, { ...who, request });
        else void opening.then((session) => session?.take(request));
      },
      () => stream.end(),
    );
  }

  /** Begins the session of a gateway; undefined when that failed, and then the stream is over. */
  async #open(
    stream: GatewayStream,
    hello: {
      readonly fleet: Fleet;
      readonly shown: ShownCertificate;
      readonly request: WatchRoutesRequest;
    },
  ): Promise<GatewaySession | undefined> {
    const { fleet, shown, request } = hello;
    const gatewayId = shown.id as GatewayId;
    const logger = this.#logger.child({ gateway: gatewayId });
    try {
      const { gatewayVersion: version, generation } = request;
      await keepStanding(stream, shown, { fleet, logger });
      await fleet.gatewayConnected(gatewayId, { version, generation });
      if (stream.signal.aborted) return undefined;
      const acknowledged = (): void => this.#waiters.wake(ACKNOWLEDGED);
      const session = new GatewaySession({ gatewayId, stream, fleet, logger, acknowledged });
      this.#sessions.add(session);
      logger.info({ version }, "gateway connected");
      stream.signal.addEventListener("abort", () => this.#ended(session, gatewayId), {
        once: true,
      });
      this.#nudge();
      if (request.usage !== undefined || request.watched.length > 0) session.take(request);
      return session;
    } catch (error) {
      if (!(error instanceof Fault)) logger.error({ err: error }, "bug in a gateway's hello");
      stream.end(error);
      return undefined;
    }
  }

  #ended(session: GatewaySession, gatewayId: GatewayId): void {
    this.#sessions.delete(session);
    this.#waiters.wake(ACKNOWLEDGED);
    this.#logger.info({ gateway: gatewayId }, "gateway disconnected");
    this.#fleet?.gatewayDisconnected(gatewayId).catch((error: unknown) => {
      this.#logger.warn({ gateway: gatewayId, err: error }, "could not note a disconnect");
    });
  }

  /** One look: changes to those who have a table, then the whole table to those who have none. */
  async #pass(fleet: Fleet, signal: AbortSignal): Promise<Outcome> {
    const following = [...this.#sessions].filter((session) => !session.isNew);
    if (following.length > 0) {
      const read = (): Promise<RouteTable> => fleet.routeChanges(this.#position);
      this.#sendChanges(await persist(read, { signal, logger: this.#logger }), following);
    }
    const fresh = [...this.#sessions].filter((session) => session.isNew);
    if (fresh.length > 0) {
      const read = (): Promise<RouteTable> => fleet.routesWhole();
      const whole = await persist(read, { signal, logger: this.#logger });
      const parts = encodeRoutes(whole, true);
      for (const session of fresh) session.sendRoutes(whole.generation, parts);
      if (following.length === 0) this.#position = whole.generation;
    }
    return settled;
  }

  #sendChanges(change: RouteTable, following: readonly GatewaySession[]): void {
    if (change.generation < this.#position) {
      // The catalogue was restored from an older backup: what was sent may never have been.
      for (const session of following) session.startOver();
      return;
    }
    if (change.generation === this.#position) return;
    const parts = encodeRoutes(change, false);
    for (const session of following) session.sendRoutes(change.generation, parts);
    this.#position = change.generation;
  }
}
