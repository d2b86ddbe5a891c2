/**
 * Reaches instances: over their unix socket when they are on this machine, else through the agent
 * of their host. An instance that is down is woken by its agent, which needs no control.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import type { Keys } from "@aerodb/identity";
import { Fault, messageOf } from "@aerodb/model";
import {
  connectInstance,
  decodeReport,
  encodeCancelRequest,
  encodeStartupMessage,
  MessageReader,
  type WireMessage,
} from "@aerodb/postgres";
import { HostEdgeService } from "@aerodb/rpc/aerodb/edge/v1/host_edge_service_pb.js";
import type { Endpoint, Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { after, backoffMs, type Logger, monotonicMs, sleep } from "@aerodb/runtime";
import { callUnary } from "@aerodb/wire";
import { type Parking, untilAborted } from "../parking.ts";
import type { RouteTable } from "../routes.ts";
import { NO_PLACE, QUEUE_IS_FULL } from "../watch/causes.ts";
import type { CancelTarget } from "./cancel-keys.ts";
import { withDeadline } from "./deadline.ts";
import { EdgeClients } from "./edge-clients.ts";
import { openEdgeStream } from "./edge-stream.ts";
import { readBytes } from "./read-bytes.ts";
import { repeatWhile } from "./repeat-while.ts";

export interface InstancesSettings {
  readonly keys: Keys;
  readonly routes: RouteTable;
  readonly parking: Parking;
  /** Told of who answers, and who does not. */
  readonly reach: {
    answered(instanceId: string): void;
    unanswered(instanceId: string, because: string): void;
  };
  readonly logger: Logger;
  /** How long to wait for an instance that is down. */
  readonly wakeDeadlineMs: number;
}

/** What is said to an instance first, and who is told when it has to be woken. */
export interface Knock {
  readonly startupFor: (endpoint: Endpoint) => Buffer;
  readonly waits: () => void;
}

/** A connection on which the server has answered the startup packet. */
export interface ServerConnection {
  readonly stream: Duplex;
  readonly reader: MessageReader;
  readonly first: WireMessage;
}

/** What a server says while it starts, stops or recovers. */
const CANNOT_CONNECT_NOW = "57P03";
/** Nothing comes of trying again until somebody acts. */
const HOST_REVOKED =
  "The host of the tenant's server was revoked, and it is not reached until that host joins again" +
  ": ask whoever runs this platform.";
const SILENT = "it says nothing";
/** After what silence an agent is told that a server may hang. */
const SILENT_MS = 5_000;
const RETRY = { firstMs: 20, maxMs: 500 };
const CANCEL_DEADLINE_MS = 5_000;
/** How long an instance that is asked by the way has for its answer. */
const PROBE_DEADLINE_MS = 5_000;

export class Instances {
  readonly #settings: InstancesSettings;
  readonly #edges: EdgeClients;
  readonly #wakes = new Map<string, Promise<void>>();
  readonly #bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

  constructor(settings: InstancesSettings) {
    this.#settings = settings;
    this.#edges = new EdgeClients(settings.keys);
  }

  /**
   * Sends a startup packet and waits for the first answer, waking the instance if need be. Throws
   * UNAVAILABLE when the instance does not answer in time, which begins anew after it was parked,
   * and at once when its host is revoked. `waits` is called once if it does not answer at once.
   */
  async open(instanceId: string, knock: Knock, signal: AbortSignal): Promise<ServerConnection> {
    let told = false;
    const waits = () => {
      if (!told) knock.waits();
      told = true;
    };
    for (;;) {
      await untilUsable(this.#settings.parking.of(instanceId), signal);
      const opened = await this.#openInTime(instanceId, { ...knock, waits }, signal);
      if (opened !== undefined) return opened;
    }
  }

  /** Undefined when the instance was parked before it has answered. */
  async #openInTime(
    instanceId: string,
    { startupFor, waits }: Knock,
    signal: AbortSignal,
  ): Promise<ServerConnection | undefined> {
    const { logger, routes, parking, reach, wakeDeadlineMs } = this.#settings;
    const started = monotonicMs();
    return await withDeadline(wakeDeadlineMs, signal, async (ending, isOver) => {
      let because: string = NO_PLACE;
      try {
        for (let tries = 1; ; tries += 1) {
          const endpoint = await routes.endpoint(instanceId, ending);
          if (endpoint.hostRevoked) {
            reach.unanswered(instanceId, NO_PLACE);
            throw new Fault("UNAVAILABLE", HOST_REVOKED);
          }
          // One that takes connections and says nothing leaves the attempt without an end.
          if (because === NO_PLACE) because = SILENT;
          const tell = () => void this.#wake(endpoint, ending, started).catch(() => undefined);
          const cancel = after(SILENT_MS, tell);
          const trying = this.#attempt(endpoint, startupFor(endpoint), ending);
          const attempt = await trying.finally(cancel);
          if (typeof attempt !== "string") {
            reach.answered(instanceId);
            return attempt;
          }
          because = attempt;
          if (parking.of(instanceId) !== undefined) return undefined;
          if (tries === 1) waits();
          if (because !== QUEUE_IS_FULL) await this.#wake(endpoint, ending, started);
          await sleep(backoffMs(tries, RETRY), ending);
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!isOver()) throw error;
        if (parking.of(instanceId) !== undefined) return undefined;
        reach.unanswered(instanceId, because);
        logger.warn({ instanceId, because }, "an instance did not wake in time");
        throw new Fault("UNAVAILABLE", sentenceFor(because), { cause: error });
      }
    });
  }

  /**
   * Whether an instance answers who comes; it is not woken. Undefined: it does; else why not.
   * It is waited for no longer than `mostMs`. Rejects with the signal's reason.
   */
  async ask(
    { instanceId, role }: Pick<Route, "instanceId" | "role">,
    { mostMs, signal }: { readonly mostMs: number; readonly signal: AbortSignal },
  ): Promise<string | undefined> {
    const endpoint = this.#settings.routes.knownEndpoint(instanceId);
    if (endpoint === undefined || endpoint.hostRevoked) return NO_PLACE;
    const parameters = Object.entries({ user: role, database: endpoint.database });
    const startup = encodeStartupMessage({ minor: 0, parameters });
    return await withDeadline(Math.min(PROBE_DEADLINE_MS, mostMs), signal, async (ending) => {
      try {
        const attempt = await this.#attempt(endpoint, startup, ending);
        if (typeof attempt === "string") return attempt;
        attempt.stream.destroy();
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        return messageOf(error);
      }
    });
  }

  /**
   * Passes a cancel request on. Resolves once the server has taken it, or cannot. Where the server
   * may not have begun yet what is cancelled, and so may have ignored it, it is told again.
   */
  async cancel(target: CancelTarget, signal: AbortSignal): Promise<void> {
    const tell = () => this.#cancelOnce(target, signal);
    await tell();
    const { unanswered } = target;
    if (unanswered !== undefined) await repeatWhile(unanswered, tell, signal);
  }

  async #cancelOnce(target: CancelTarget, signal: AbortSignal): Promise<void> {
    try {
      await withDeadline(CANCEL_DEADLINE_MS, signal, async (ending) => {
        const endpoint = await this.#settings.routes.endpoint(target.instanceId, ending);
        if (endpoint.hostRevoked) throw new Fault("UNAVAILABLE", HOST_REVOKED);
        const stream = this.#dial(endpoint);
        stream.on("error", () => undefined);
        stream.write(encodeCancelRequest(target.key));
        await readBytes(stream, ending).finally(() => stream.destroy());
      });
    } catch (error) {
      this.#settings.logger.debug({ because: messageOf(error) }, "a cancel request went nowhere");
    }
  }

  close(): void {
    this.#edges.close();
  }

  /** One try. Returns the connection, or why there is none. */
  async #attempt(
    endpoint: Endpoint,
    startup: Buffer,
    signal: AbortSignal,
  ): Promise<ServerConnection | string> {
    const stream = this.#dial(endpoint);
    let failure = "the connection was closed";
    stream.on("error", (error: NodeJS.ErrnoException) => {
      failure = error.code === QUEUE_IS_FULL ? QUEUE_IS_FULL : error.message;
    });
    stream.write(startup);
    const reader = new MessageReader();
    try {
      for (;;) {
        const bytes = await readBytes(stream, signal);
        if (bytes === undefined) return failure;
        reader.push(bytes);
        const first = reader.next();
        if (first === undefined) continue;
        if (!saysNotNow(first)) return { stream, reader, first };
        stream.destroy();
        return decodeReport(first.payload).get("M") ?? "it does not accept connections now";
      }
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  #dial(endpoint: Endpoint): Duplex {
    const local = endpoint.bootId === this.#bootId && existsSync(endpoint.socketDirectory);
    if (!local && endpoint.edgeAddress !== "") {
      return openEdgeStream(this.#edges.of(endpoint), endpoint.instanceId);
    }
    return connectInstance(endpoint.socketDirectory, { allowHalfOpen: true });
  }

  /**
   * Asks the agent to start the instance, or to look at it where it runs and says nothing. Many at
   * once ask once. Never rejects but for the signal.
   */
  async #wake(endpoint: Endpoint, signal: AbortSignal, startedMs: number): Promise<void> {
    const { instanceId } = endpoint;
    const { wakeDeadlineMs, logger } = this.#settings;
    const underway = this.#wakes.get(instanceId);
    if (underway !== undefined) return aborting(underway, signal);
    const deadlineMs = Math.max(1, wakeDeadlineMs - (monotonicMs() - startedMs));
    const wake = callUnary(
      this.#edges.of(endpoint),
      HostEdgeService.method.wake,
      { instanceId },
      { deadlineMs },
    ).then(
      () => logger.info({ instanceId }, "an instance is awake"),
      (error) => logger.warn({ instanceId, because: messageOf(error) }, "could not wake"),
    );
    this.#wakes.set(instanceId, wake);
    void wake.finally(() => this.#wakes.delete(instanceId));
    return aborting(wake, signal);
  }
}

/** Waits until an instance may be used. Rejects with the signal's reason. */
async function untilUsable(over: AbortSignal | undefined, signal: AbortSignal): Promise<void> {
  if (over === undefined) return;
  await untilAborted(AbortSignal.any([over, signal]));
  signal.throwIfAborted();
}

/** What a client is told of an instance that does not answer: what to do, and nothing of inside. */
export function sentenceFor(because = ""): string {
  const starts = "the database system is starting up";
  const why =
    because === QUEUE_IS_FULL
      ? "has more to do than it can take on"
      : because === starts
        ? "is still starting"
        : "does not answer at the moment";
  return (
    `The tenant's server ${why}: try again in a moment. The operator of the platform sees the ` +
    "reason in `aerodb tenants get`."
  );
}

function saysNotNow(message: WireMessage): boolean {
  return message.type === "E" && decodeReport(message.payload).get("C") === CANNOT_CONNECT_NOW;
}

/** Waits for a promise that goes on without us when the signal is aborted. */
function aborting(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    void promise.then(resolve).finally(() => signal.removeEventListener("abort", abort));
  });
}
