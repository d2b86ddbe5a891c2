/** Keeps one stream to control open, dialling again whenever it breaks. */
import { remedyOfTime } from "@aerodb/identity";
import type { Fingerprint } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import { LinkService } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import type { IsolationProof } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { backoffMs, type Logger, monotonicMs, sleep } from "@aerodb/runtime";
import { type CallingClient, openStream } from "@aerodb/wire";
import type { Subject } from "./desired.ts";
import { type EndCause, LinkSession, type SessionPorts } from "./link-session.ts";

export interface LinkOptions extends SessionPorts {
  readonly client: CallingClient;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const BACKOFF: Readonly<Record<EndCause, { readonly firstMs: number; readonly maxMs: number }>> = {
  lost: { firstMs: 100, maxMs: 1_000 },
  // As long as another agent runs with the same identity, each takes the place of the other.
  replaced: { firstMs: 100, maxMs: 30_000 },
  // Whom control refuses is heard again once an operator has done something.
  refused: { firstMs: 1_000, maxMs: 60_000 },
};
/** A stream that ended sooner is a failure like one that was not taken. */
const STEADY_MS = 5_000;

export class Link {
  readonly #options: LinkOptions;
  #session: LinkSession | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /**
   * Reports on a subject. Without a stream nothing is kept: the next one begins with everything.
   */
  changed(subject: Subject): void {
    this.#session?.changed(subject);
  }

  sendUsage(): void {
    this.#session?.sendUsage();
  }

  sendWarm(): void {
    this.#session?.sendWarm();
  }

  /** Writes stopped on the whole host, or began again. */
  sendDisk(): void {
    this.#session?.sendDisk();
  }

  /** Each stream begins with the newest of every tenant. */
  sendProofs(proofs: readonly IsolationProof[]): void {
    this.#session?.sendProofs(proofs);
  }

  sendSamples(): void {
    this.#session?.sendSamples();
  }

  /** The host is not what it was. Each stream begins with what it is. */
  sendFingerprint(fingerprint: Fingerprint): void {
    this.#session?.sendFingerprint(fingerprint);
  }

  /** Dials until the signal is aborted. */
  async run(): Promise<void> {
    const { client, logger, signal } = this.#options;
    signal.addEventListener("abort", () => this.#session?.close(), { once: true });
    let failures = 0;
    let before: EndCause | undefined;
    while (!signal.aborted) {
      const dialledMs = monotonicMs();
      this.#session = new LinkSession(
        openStream(client, LinkService.method.connect),
        this.#options,
      );
      const { reason, cause } = await this.#session.ended;
      const wasSteady = this.#session.heard && monotonicMs() - dialledMs >= STEADY_MS;
      failures = wasSteady || cause !== before ? 1 : failures + 1;
      before = cause;
      this.#session = undefined;
      if (signal.aborted) return;
      const remedy = remedyOfTime(reason);
      const said = { reason, ...(remedy && { remedy }), failures };
      logger.warn(said, "the link to control is down");
      await sleep(backoffMs(failures, BACKOFF[cause]), signal).catch(() => undefined);
    }
  }
}
