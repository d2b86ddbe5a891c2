/**
 * A session that outlives a restart of its server. When the instance is parked, the connection to
 * it is given up at the end of a transaction, and what the session keeps is given to another one
 * once the instance is back. What cannot be given has the client connect anew, with the reason.
 */
import type { Duplex } from "node:stream";
import { Fault } from "@aerodb/model";
import {
  type BackendKey,
  decodeReport,
  MessageReader,
  type ServerReport,
  type SessionMemory,
} from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import type { Logger } from "@aerodb/runtime";
import { type Parking, untilAborted } from "../parking.ts";
import type { TenantTraffic } from "../traffic.ts";
import type { CancelTarget } from "./cancel-keys.ts";
import { withDeadline } from "./deadline.ts";
import { TERMINATE } from "./messages.ts";
import type { DirectRelay } from "./relay.ts";
import type { ReadyServer } from "./server-login.ts";
import { recallSession, restoreOn } from "./server-memory.ts";

/** How long a server may take to say what a session keeps, or to take it. */
const MEMORY_MS = 5_000;
const ADMIN_SHUTDOWN = "57P01";
const WRONG_PASSWORD = "28P01";

/** A server that waits for the first query, or what the client is told instead. */
export type Opened =
  | { readonly kind: "ready"; readonly server: ReadyServer }
  | {
      readonly kind: "refused";
      readonly answer: Buffer;
      /** Whether to try again is of no use. */
      readonly final: boolean;
      /** Whether all connections of its plan are taken. */
      readonly full?: boolean;
    };

export interface ParkableSettings {
  readonly instanceId: string;
  readonly key: BackendKey;
  readonly parking: Parking;
  readonly counters: TenantTraffic;
  readonly logger: Logger;
  readonly currentRoute: () => Route;
  readonly open: (route: Route, signal: AbortSignal) => Promise<Opened>;
  /** Passes a cancel on. Never rejects. */
  readonly cancel: (target: CancelTarget, signal: AbortSignal) => Promise<void>;
}

export class ParkableSession {
  readonly #relay: DirectRelay;
  readonly #settings: ParkableSettings;
  readonly #gone = new AbortController();
  #target: CancelTarget;
  #leaveParking: () => void = () => undefined;
  /** Whether the client has cancelled what it has asked while nothing works for it. */
  #cancelsNext = false;

  constructor(relay: DirectRelay, settings: ParkableSettings) {
    this.#relay = relay;
    this.#settings = settings;
    const { instanceId, key } = settings;
    this.#target = { instanceId, key };
  }

  /**
   * A cancel request of the client has come. Returns where it goes; nowhere while nothing works for
   * it, and then what it has asked already is cancelled as soon as something does.
   */
  cancelled(): CancelTarget | undefined {
    const { asked, parked } = this.#relay;
    if (!parked) return { ...this.#target, unanswered: asked.just.unanswered };
    this.#cancelsNext ||= this.#relay.unread;
    return undefined;
  }

  begin(): void {
    void this.#relay.ended.then(() => {
      this.#gone.abort();
      this.#leaveParking();
    });
    this.#join(this.#target.instanceId);
  }

  #join(instanceId: string): void {
    this.#leaveParking();
    this.#leaveParking = this.#settings.parking.join(instanceId, (over) => {
      void this.#leaveUntil(over);
    });
  }

  /** Never rejects. */
  async #leaveUntil(over: AbortSignal): Promise<void> {
    let server: Duplex | undefined;
    try {
      server = await this.#relay.take(AbortSignal.any([over, this.#gone.signal]));
    } catch {
      // It was over, or the client left, before a transaction ended.
      return;
    }
    this.#settings.counters.parks += 1;
    try {
      const report = await this.#moveOn(server, over);
      if (report !== undefined) this.#relay.end(report);
    } catch (error) {
      const expected = error instanceof Fault || this.#gone.signal.aborted;
      if (!expected) this.#settings.logger.error({ err: error }, "bug while a session was parked");
      this.#relay.end(ended("the tenant's server was restarted: connect again"));
    }
  }

  /** Returns why the session does not go on; undefined when it does, or its client left. */
  async #moveOn(server: Duplex, over: AbortSignal): Promise<ServerReport | undefined> {
    const gone = this.#gone.signal;
    const memory = await this.#recall(server);
    // One that has more to say than is heard would not hear a goodbye either.
    if (memory === undefined) server.destroy();
    else server.end(TERMINATE);
    const kept = unmovableIn(memory, this.#relay.asked.keepsUnseen);
    if (memory === undefined || kept !== undefined) return ended(sentenceFor(kept));
    await untilAborted(AbortSignal.any([over, gone]));
    for (;;) {
      if (gone.aborted) return undefined;
      const route = this.#settings.currentRoute();
      const opened = await this.#settings.open(route, gone);
      if (opened.kind === "refused") return farewellIn(opened.answer);
      const { server: next } = opened;
      if (await this.#restoreOn(next, memory)) {
        this.#target = { instanceId: route.instanceId, key: next.key };
        this.#passCancelOn();
        this.#relay.attach(next);
        this.#join(route.instanceId);
        return undefined;
      }
      next.stream.destroy();
      // Parked once more meanwhile: it comes again after that.
      if (this.#settings.parking.of(route.instanceId) !== undefined) continue;
      return ended("the tenant's server was restarted, and does not take what the session had");
    }
  }

  #passCancelOn(): void {
    if (!this.#cancelsNext) return;
    this.#cancelsNext = false;
    const { cancel } = this.#settings;
    const unanswered = () => !this.#relay.asked.allAnswered;
    this.#relay.aboutNextQuestion(() => cancel({ ...this.#target, unanswered }, this.#gone.signal));
  }

  #restoreOn(next: ReadyServer, memory: SessionMemory): Promise<boolean> {
    const { unnamed } = this.#relay.asked;
    const tell = (bytes: Buffer) => this.#relay.pass(bytes);
    return withDeadline(MEMORY_MS, this.#gone.signal, (ending) =>
      restoreOn(next, { memory, unnamed }, tell, ending),
    ).catch(() => false);
  }

  /** Undefined when the server does not say. */
  async #recall(server: Duplex): Promise<SessionMemory | undefined> {
    const tell = (bytes: Buffer) => this.#relay.pass(bytes);
    try {
      return await withDeadline(MEMORY_MS, this.#gone.signal, (ending) =>
        recallSession(server, tell, ending),
      );
    } catch {
      return undefined;
    }
  }
}

/** What of it no other session can be given; undefined when all can. */
function unmovableIn(memory: SessionMemory | undefined, unseen: boolean): string | undefined {
  if (memory === undefined) return undefined;
  const kept = [...memory.unmovable, ...(unseen ? ["settings of its own names"] : [])];
  return kept.length === 0 ? undefined : kept.join(" and ");
}

function sentenceFor(kept: string | undefined): string {
  const restarted = "terminating connection: the tenant's server is restarted";
  if (kept === undefined) return `${restarted}: connect again`;
  return `${restarted}, and the session has ${kept}, which no other can be given: connect again`;
}

const REPLACED =
  "terminating connection: the tenant's server was restarted, and its password has been replaced " +
  "since the session began: connect again with the new one";

function ended(message: string): ServerReport {
  return { severity: "FATAL", sqlState: ADMIN_SHUTDOWN, message };
}

/** What the client is told of an ErrorResponse, of ours or of a server, that keeps it out. */
function farewellIn(answer: Buffer): ServerReport {
  const reader = new MessageReader();
  reader.push(answer);
  const fields = decodeReport(reader.next()?.payload ?? Buffer.alloc(0));
  const sqlState = fields.get("C") ?? ADMIN_SHUTDOWN;
  // It has logged in long ago, and asks for nothing now that could be refused like a login.
  if (sqlState === WRONG_PASSWORD) return ended(REPLACED);
  return {
    severity: "FATAL",
    sqlState,
    message: fields.get("M") ?? "the tenant's server was restarted: connect again",
  };
}
